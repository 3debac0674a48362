"""Experiments: run directories, the comparison of several, and the functions behind `import temporalkd`."""

# maps/ holds a class map for every frame of the video, as how_steady.py writes them, or any other tool.
temporalkd consistency mine=maps --frames drive.mp4 --flow dis
temporalkd report mine=maps --frames drive.mp4 --flow dis -o report.html
temporalkd render mine=maps --frames drive.mp4 --flow dis -o flicker-cli.mp4

"""A PyTorch loop of one's own: the method gives the loss, the loop does the rest."""

import torch

import temporalkd as tkd


def net(width: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(width, 9, 1))


student = tkd.Segmenter(net(16), classes=9, normalisation="imagenet")
teacher = tkd.Segmenter(net(32), classes=9, normalisation="imagenet")  # yours is trained: tkd.load_teacher(...)
method = tkd.methods.etc(student, teacher, flow="dis")

# Any iterable of (frames (B, 3, 3, H, W) in [0, 1], labels (B, H, W) of the middle frame, 255 where unknown).
loader = [(torch.rand(2, 3, 3, 48, 64), torch.randint(9, (2, 48, 64))) for _ in range(4)]

method.prepare(loader)  # fits what is fitted once
optimiser = torch.optim.AdamW(method.parameters(), lr=1e-3)
for step, (frames, labels) in enumerate(loader):
    out = method.training_step(frames, labels, step=step, total=len(loader))
    optimiser.zero_grad()
    out.loss.backward()
    optimiser.step()
    print(step, {name: round(float(value), 3) for name, value in out.terms.items()})

torch.save(student.network.state_dict(), "student.pt")

"""How steady is my model? A video and a network of one's own, no labels."""

from pathlib import Path

import torch

import temporalkd as tkd
from temporalkd.data.image_folder import open_frames
from temporalkd.data.label_maps import write_map

net = torch.nn.Conv2d(3, 4, 9, padding=4)  # yours: any module that returns logits
model = tkd.Segmenter(net, classes=4, normalisation="imagenet")
video = open_frames("drive.mp4")  # or a folder of images

(row,) = tkd.evaluate({"mine": model}, video, flow="dis")  # the default, raft_small, is more exact and slower
print(f"consistency {row['consistency']:.1f} %, flips {row['flip_rate']:.2f} %")

Path("maps").mkdir()
for index, frame in enumerate(video.frames()):
    with torch.inference_mode():
        write_map(Path(f"maps/{index:06d}.png"), model.eval()(frame[None].float() / 255).logits[0].argmax(0))
tkd.flicker_video("drive.mp4", {"mine": "maps"}, "flicker.mp4", flow="dis", classes=4)

"""Lightning's Trainer with the distillation loss inside; the student is saved as any LightningModule's network."""

import lightning.pytorch as pl
import torch

import temporalkd as tkd


class Distilled(pl.LightningModule):
    def __init__(self, student: torch.nn.Module, teacher: torch.nn.Module, classes: int):
        super().__init__()
        self.student = student
        wrapped = (tkd.Segmenter(network, classes, normalisation="imagenet") for network in (student, teacher))
        self.method = tkd.methods.kd(*wrapped)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        out = self.method.training_step(*batch)
        self.log_dict({name: value.detach() for name, value in out.terms.items()})
        return out.loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.method.parameters(), lr=1e-3)


def net(width: int) -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(width, 9, 1))


clips = [(torch.rand(1, 3, 48, 64), torch.randint(9, (48, 64))) for _ in range(8)]
trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
trainer.fit(Distilled(net(16), net(32), classes=9), torch.utils.data.DataLoader(clips, batch_size=4))

"""The same search over a small PyTorch network: on a GPU where there is one, else on the CPU.

On a GPU, `trial_resources` lets one trial at a time have it. Checkpoints hold network and optimiser, and can
be loaded on a machine without a GPU.

    python examples/04_torch.py
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from prefect_tune import TuneResult, tune
from prefect_tune.space import choice, loguniform, uniform

try:
    import torch
except ModuleNotFoundError:
    print(
        "Skipped: this example needs PyTorch, which is not installed; run: pip install 'prefect-tune[torch]'"
    )
    raise SystemExit(0) from None
from torch import nn

images, labels = load_digits(return_X_y=True)
images = (images / 16).astype("float32").reshape(-1, 1, 8, 8)
split = train_test_split(images, labels, test_size=0.3, stratify=labels, random_state=0)
on_gpu = torch.cuda.is_available()


class Network(nn.Sequential):
    """Two convolutions and a linear layer, for pictures of 8 × 8."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(8 * width, 10),
        )


def saved(epoch: int, network: nn.Module, optimiser: torch.optim.Optimizer) -> bytes:
    """All that training needs to go on."""
    file = io.BytesIO()
    torch.save({"epoch": epoch, "network": network.state_dict(), "optimiser": optimiser.state_dict()}, file)
    return file.getvalue()


def loaded(state: bytes, device: str) -> dict[str, Any]:
    """What was saved, on that device."""
    return torch.load(io.BytesIO(state), map_location=device, weights_only=True)


def train(config: dict[str, Any], resume: bytes | None, seed: int) -> Iterator[tuple[dict[str, Any], Any]]:
    """After each epoch the loss on the held-out digits, and how to save the network if it is wanted."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    X_train, X_test, y_train, y_test = (torch.from_numpy(part).to(device) for part in split)
    torch.manual_seed(seed)
    network = Network(config["width"], config["dropout"]).to(device)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=config["lr"], momentum=config["momentum"], nesterov=True
    )
    done = 0
    if resume is not None:
        state = loaded(resume, device)
        done = state["epoch"]
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
    for epoch in count(done + 1):
        network.train()
        torch.manual_seed(seed + epoch)  # an epoch shuffles alike, whether the trial was interrupted or not
        for rows in torch.randperm(len(X_train)).to(device).split(config["batch"]):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(X_train[rows]), y_train[rows]).backward()
            optimiser.step()
        network.eval()
        with torch.no_grad():
            found = network(X_test)
        loss = nn.functional.cross_entropy(found, y_test)
        accuracy = (found.argmax(1) == y_test).float().mean()
        yield {"epoch": epoch, "loss": loss, "accuracy": accuracy}, partial(saved, epoch, network, optimiser)


space = {
    "lr": loguniform(1e-3, 1),
    "momentum": uniform(0.5, 0.99),
    "dropout": uniform(0, 0.6),
    "batch": choice([16, 32, 64, 128]),
    "width": choice([4, 8, 16]),
}


def search(n_trials: int) -> TuneResult:
    """The search with so many configurations in all, on GPUs if there are any."""
    gpu: dict[str, Any] = {
        "n_workers": 1,
        "worker_resources": {"GPU": 1},
        "trial_resources": {"GPU": 1},
    }
    return tune(
        train,
        space,
        metric="loss",
        n_trials=n_trials,
        sampler="tpe",
        schedule={"asha": {"type": "promotion"}},
        max_resource=9,
        name="digits, torch",
        **(gpu if on_gpu else {}),
    )


print(f"First search: 8 configurations, on the {'GPU' if on_gpu else 'CPU'}.", flush=True)
first = search(8)

print("\nThe same search with 16: it goes on, and promotes from checkpoints.", flush=True)
more = search(16)

best = more.best()
network = Network(best.config["width"], best.config["dropout"])
network.load_state_dict(loaded(more.load_best(), "cpu")["network"])
network.eval()
guesses = network(torch.from_numpy(split[1][:5])).argmax(1).tolist()
print(
    f"\nepochs trained: {first.cost.trained} for 8 configurations, {more.cost.trained} for {len(more)} "
    f"(all of them to the end: {9 * len(more)})\n"
    f"best: {best.config} with loss {best.value:.4f} and accuracy {best.metrics['accuracy']:.4f}\n"
    f"its network calls the first digits {guesses}\n"
    f"report: {more.report_path}"
)

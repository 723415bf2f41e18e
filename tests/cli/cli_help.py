"""What the tests of the command line share."""

from pathlib import Path

import numpy as np
import pandas as pd

SMALL = ("--hidden", "8", "--epochs", "3", "--out", "runs")


def homes(n=200, seed=0):
    """Homes with a number and a category, and what they cost."""
    r = np.random.default_rng(seed)
    area, town = r.uniform(30, 200, n), r.choice(["Bonn", "Ulm", "Mainz"], n)
    price = 3 * area + 100 * (town == "Ulm") + r.normal(0, 5, n)
    return pd.DataFrame({"area": area.round(1), "town": town, "price": price.round(2)})


def only_run(pattern):
    """The one run folder that fits."""
    (folder,) = Path("runs").glob(f"{pattern}*")
    return folder

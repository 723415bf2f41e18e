"""What several tests of the data package start from."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def homes():
    """Makes a table with columns of every kind, some of them useless."""
    return make_homes


def make_homes(n=40):
    r = np.random.default_rng(0)
    area = r.uniform(30, 200, n)
    area[3] = np.nan
    town = r.choice(["Bonn", "Ulm", "Köln"], n).astype(object)
    town[5] = None
    return pd.DataFrame(
        {
            "id": np.arange(n) * 7,
            "area": area,
            "rooms": r.integers(1, 6, n),
            "lift": r.random(n) < 0.5,
            "town": town,
            "built": pd.date_range("1950-01-01", periods=n, freq="500D"),
            "same": 1.0,
            "note": [f"note {i}" for i in range(n)],
            "price": r.normal(300, 50, n),
        }
    )

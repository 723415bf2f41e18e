"""Recurrent layers. `layers` and `cells` are what people use; `sweep` has the primitives, `steps`
their formulas, `kernels` the same on arrays, `calculus` what they are written in.
"""

from clearprop.nn.recurrent.cells import GRUCell, LSTMCell, RNNCell, RNNCellBase
from clearprop.nn.recurrent.layers import GRU, LSTM, RNN, RNNBase

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

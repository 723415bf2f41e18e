"""`run` handed a step that goes through Python a NumPy number where an entry had no axes, since
`array[i]` of a 1-d array is no array.
"""

import clearprop as cp


def test_numbers_among_the_arguments_of_many_runs_that_draw():
    @cp.compile
    def step(x, scale):
        return (x * scale + 0 * cp.rand(3)).sum()

    out = step.run(2, (cp.ones(2, 3), cp.tensor([2.0, 3.0])))
    assert out.tolist() == [6.0, 9.0]

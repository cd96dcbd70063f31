"""The two ways in which a command ends badly; everything else is a defect of ours."""


class InputError(ValueError):
    """Wrong usage or wrong input: the message names the value or file and says what to do. Exit code 2."""


class RunError(RuntimeError):
    """The run itself failed (disk, memory, numerics): the message says what is kept and what to do. Exit code 1."""

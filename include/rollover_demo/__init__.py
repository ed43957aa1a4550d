"""Local services for the demo and the tests: real parts, on free ports, in one ignored folder."""

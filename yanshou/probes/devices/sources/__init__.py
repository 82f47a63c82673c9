"""Where devices are seen. Each source is a folder `<kind>/` like a small probe:

params.py  `Source` (frozen pydantic model with `kind: Literal["<kind>"]` and `name`)
record.py  `record(source, run, stop) -> None`   impure: writes raw evidence below `run.sink` until `stop` is set or it is done
read.py    `observations(evidence, source) -> Iterator[Observation]` and `findings(evidence, source) -> Iterator[Validity]`, pure
         and where a source can tell: `compared(evidence, source, net) -> Iterator[Validity]`, the count beside its gauges;
         `ties(evidence, source) -> Iterator[Tie]`, identities that are one device though they never say so

`run.sink` and `evidence` are the source's own part of the run. `record` raises ProbeError while it cannot connect, and calls
`run.progress` once it has: the window begins when every source has done so or is done. Later news say in `done` how many
identities it has seen.
"""

"""How it is measured: the engine, the verifier and the benchmarks."""

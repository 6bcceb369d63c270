"""All benchmarks, one after another: `make bench`. The last one sets the exit code."""

import runpy

for name in (
    "delivery",
    "drift_cost",
    "swap",
    "lifecycle",
    "gate_cost",
    "forms",
    "streamflow_leakage",
    "hostile",
):
    print(f"\n## {name}\n", flush=True)
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")

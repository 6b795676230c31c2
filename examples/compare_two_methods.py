"""Compare two methods: quality and cost, side by side, from shipped models.

    python examples/compare_two_methods.py

200 images each are enough to see how it is done, and too few to rank methods by: a study
(`scalespace study --preset few`) has 10,000 images, three trainings and error bars.
"""

import pandas as pd

import scalespace as sc
from scalespace.config import BenchConfig

N = 200
models = {name: sc.Model.from_pretrained(name) for name in ("baseline", "cascaded")}
real = sc.load_data("digits")  # 5,000 of MNIST's digits, which come with the package

costs = sc.benchmark(models, BenchConfig(productions=10, warmup=2, batch_sizes=(50,), batches=1))
rows = {}
for name, model in models.items():
    samples = model.sample([k % 10 for k in range(N)], seed=0)
    found = sc.evaluate(samples, real, ["fd", "variety"], floor=True)
    rows[name] = {
        "calls": costs[name]["calls"],
        "multiply-adds (M)": costs[name]["macs"] / 1e6,
        "one image (ms)": 1000 * costs[name]["median"],
        "FD": found["fd"]["fd"],
        "FD of as many real images": found["fd"]["floor"]["fd"],
        "variety": found["variety"]["variety"],
    }
print(pd.DataFrame(rows).round(2).to_string())

"""Sample from a shipped model, and watch the images form across the scales.

    python examples/sample_and_watch.py

Writes digits.png (in few network calls above, in every state below) and digits.gif.
"""

import numpy as np

import scalespace as sc

model = sc.Model.from_pretrained("cascaded")
print(model)

labels = [2, 0, 2, 6]
few = model.sample(labels, seed=1)
many = model.sample(labels, seed=1, steps="all")
print(f"{few.meta['calls']} calls, and {many.meta['calls']} with every state visited")
sc.save_grid("digits.png", np.concatenate([few.images, many.images]), columns=4)

# A step holds the state t, the images x in it, and the network's estimate of the finished image.
frames = []
for step in model.trajectory(labels, seed=1):
    print(f"t = {step.t:2g}: {step.x.shape[2]} x {step.x.shape[3]} pixels")
    frames.append(model.data.to_unit(step.x)[:, 0].numpy())
sc.save_gif("digits.gif", frames, columns=4)

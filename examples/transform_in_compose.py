"""Insert a sparsifier between two PyG transforms."""

from torch_geometric.transforms import Compose, NormalizeFeatures

from gsparse.data import load
from gsparse.transforms import EffectiveResistance

data = load("digits")
transform = Compose([NormalizeFeatures(), EffectiveResistance(sparsity=0.8, seed=11)])
sparse = transform(data)
print(f"before: {data}")
print(f"after:  {sparse}")
print(f"the first entries kept are numbers {sparse.e_id[:5].tolist()} of the original")

# One scoring serves a whole curve.
score = EffectiveResistance(sparsity=0.5, seed=11).importance(data)
for sparsity in (0.5, 0.7, 0.9):
    cut = EffectiveResistance(sparsity=sparsity, seed=11).cut(data, score)
    print(f"sparsity {sparsity}: {cut.num_edges} of {data.num_edges} entries left")

"""Files of sparse models and graphs: save, load, export, and commands on files."""

from gsparse.deploy.cut_file import sparsify_file
from gsparse.deploy.cut_plot import plot_cut
from gsparse.deploy.export import export_program, export_weights
from gsparse.deploy.folder_cost import predict_steps
from gsparse.deploy.inspect_graph import GraphReport, inspect_graph
from gsparse.deploy.loading import Saved, load
from gsparse.deploy.model_card import ModelCard
from gsparse.deploy.model_file import load_weights, save_model
from gsparse.deploy.n_of_m import keep_n_of_m, prune_n_of_m, to_semi_structured
from gsparse.deploy.prune_and_save import prune_model
from gsparse.deploy.pruned_models import load_pruned
from gsparse.deploy.saving import save
from gsparse.deploy.warm_up import warm_up
from gsparse.transforms.out_of_core import sparsify_folder

__all__ = [
    "GraphReport",
    "ModelCard",
    "Saved",
    "export_program",
    "export_weights",
    "inspect_graph",
    "keep_n_of_m",
    "load",
    "load_pruned",
    "load_weights",
    "plot_cut",
    "predict_steps",
    "prune_model",
    "prune_n_of_m",
    "save",
    "save_model",
    "sparsify_file",
    "sparsify_folder",
    "to_semi_structured",
    "warm_up",
]

"""The names that options can take; the modules that implement them have the same names."""

LABEL_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")  # of predicted classes
METRICS = (*LABEL_METRICS, "roc_auc", "average_precision", "log_loss")
METRIC = METRICS[0]  # where no other is asked for
MAP_METHODS = ("tsne", "umap")
MOST_DRAWN = 250_000  # images of a map: a page cannot hold more
MAP_SUFFIXES = (".html", ".png")
TABLE_SUFFIXES = (".csv", ".parquet")
PACK_SUFFIX = ".zip"
EXPORT_SUFFIXES = (".onnx", ".keras", "")  # none: a folder for OpenVINO
ARCHITECTURES = ("small", "lenet", "vgg", "resnet18")
SCHEDULES = ("cosine", "plateau", "constant")
TRAINING_PRECISIONS = ("auto", "float32", "mixed_bfloat16")
AUGMENTATIONS = ("flip", "rotation", "zoom", "translation", "contrast")
AUTO_AUGMENTATION, NO_AUGMENTATION = "auto", "none"  # each stands alone
MODELS_FOLDER = "models"  # in a results folder, beside the folders of candidates
BEST, RECOMMENDED = "best", "recommended"  # candidates named by their place in the ranking
EXTERNAL_SECONDS = ("fit", "predict_1000")  # the times that may be known of another tool
RANDOM_HEAD = "none"  # of --head: the head of a network to be fine-tuned starts from random weights

"""What people of the field ask for and a task cannot have: said, and never promised."""

from __future__ import annotations

from orchestrator.planning.reading.wishes import Wishes
from orchestrator.planning.reading.words import Words

_NOT_OFFERED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "differential privacy: no update is clipped for privacy and no noise is added, so there is no ε to promise",
        (
            r"differential(?:ly)?[- ]priva\w+(?:,? (?:with )?epsilon\s*(?:=|of)?\s*[\d.]{1,9})?",
            r"dp(?:-?(?:sgd|fedavg|fl))?",
            r"(?:privacy )?epsilon(?:\s*(?:=|of)?\s*[\d.]{1,9})?",
            r"gaussian mechanism",
            r"privacy budget(?: of [\d.]{1,9})?",
        ),
    ),
    (
        "secure aggregation: the server sees single updates, which TLS protects on their way",
        (
            r"secure (?:aggregation|multi-?party(?: computation)?|sum)",
            r"secagg\+?",
            r"homomorphic(?:ally)?(?: encrypt\w+)?",
            r"s?mpc",
            r"encrypted (?:updates|aggregation)",
            r"trusted execution(?: environments?)?|tees?|enclaves?|sgx",
        ),
    ),
    (
        "asynchronous training: rounds are synchronous; over-selection, a quorum and a deadline keep the slow from "
        "holding up the rest",
        (r"async(?:hron\w+)?(?: (?:rounds?|updates?|aggregation|training|fl|mode))?", r"fed-?buff|fed-?async"),
    ),
    (
        "compression or quantisation: updates travel as float32 (codec none); of a language model only adapters do",
        (r"compress\w*(?: updates?)?", r"quanti[sz]\w+(?: updates?)?", r"sparsif\w+|top-?k|(?:8|4)-?bit|q-?lora"),
    ),
    (
        "personalised models: all nodes train one global model, which each may go on training for itself",
        (r"personali[sz]\w+(?: (?:models?|layers?|heads?))?", r"ditto|pfedme|fedper|fedrep|per-fedavg|local heads?"),
    ),
    (
        "vertical or split learning: every node has whole examples and the whole model",
        (r"vertical(?:ly)?(?: (?:federated(?: learning)?|fl|partition\w*|split))?", r"split[- ]learning"),
    ),
    (
        "training without a server: one coordinator runs the rounds",
        (r"decentrali[sz]ed", r"peer[- ]to[- ]peer|p2p|gossip\w*|swarm learning|blockchain\w*|serverless"),
    ),
    (
        "hierarchies or clusters of nodes: there is one server and one global model",
        (r"hierarchical", r"edge servers?|multi-tier|cluster(?:ed|ing)(?: (?:fl|clients|nodes))?|ifca"),
    ),
    (
        "distillation: nodes exchange weights of one architecture",
        (r"(?:knowledge )?distill\w+|fedmd|feddf|teacher|student model",),
    ),
    (
        "learning-rate schedules: the rate is the same in every round; change it between tasks",
        (
            r"(?:cosine|linear|exponential)[- ](?:decay|schedule|annealing)",
            r"(?:learning[- ]rate|lr)[- ](?:schedul\w+|decay|warm-?up)|warm-?up|schedulers?",
        ),
    ),
    (
        "data augmentation: examples are trained on as they are",
        (r"(?:data )?augment\w+|mix-?up|random crops?|flips",),
    ),
    (
        "training all weights of a pretrained model: only low-rank adapters are trained and exchanged",
        (r"full(?:y)? fine-?tun\w+|all (?:the )?weights|full[- ]parameter",),
    ),
    (
        "that kind of learning: tasks are classification, or adapters of a language model that writes or classifies",
        (
            r"regress(?:ion|or)|forecast\w*|time[- ]series|anomal\w+(?: detect\w+)?",
            r"object detection|segment\w+|speech(?: recognition)?|audio|voice|translat\w+|recommend\w+",
            r"reinforcement(?: learning)?|diffusion(?: models?)?|image generation|gans?|graph neural networks?|gnns?",
        ),
    ),
    (
        "that architecture: models of images and numbers are the catalogue's (search_models), pretrained ones are "
        "language models hf:…",
        (
            r"resnets?(?:-?\d{1,3})?|vits?|vision transformers?|mobile-?nets?\w*|efficient-?nets?\w*|u-?nets?|vgg\w*",
            r"densenets?\w*|yolo\w*|lstms?|rnns?|grus?|xg-?boost|random forests?|decision trees?|svms?|whisper",
        ),
    ),
    (
        "that data set by this name: it is not in the catalogue; search_datasets with hub=true looks on the Hub, and "
        "each node can bring it as `own`",
        (
            r"imagenet(?:-?\d{0,3}k?)?|cifar-?100|celeba|femnist|emnist|coco|svhn|sst-?2|imdb|ag[-_ ]?news|wikitext\S*",
            r"tiny-?imagenet|stl-?10|kmnist|medmnist|chexpert|mimic\S*|iris|sent140|reddit|stack ?overflow",
        ),
    ),
    (
        "fp16, int8 and mixed precision: base weights are float32 or bfloat16, adapters float32",
        (r"fp16|float16|mixed precision|amp|int8|fp8",),
    ),
    (
        "that kind of skew: the server cuts by label (dirichlet, shards) or by user (natural); `own` data are as they "
        "are",
        (
            r"feature[- ](?:distribution )?(?:skew|shift)\w*|covariate shift|concept (?:drift|shift)",
            r"quantity[- ]skew\w*|power[- ]law(?: sizes)?",
        ),
    ),
    (
        "scheduling of hardware: each node trains on its own device",
        (r"multi-?gpu|distributed data parallel|ddp|deepspeed|tpus?",),
    ),
    (
        "unlearning, fairness guarantees or incentives",
        (r"unlearn\w*|right to be forgotten|watermark\w*|fair(?:ness)?|incentive\w*|payments?|reputation\w*",),
    ),
    (
        "schedules and conditions of devices: one round follows the other while enough nodes are there; control_task "
        "pauses and resumes",
        (
            r"(?:every|each) (?:night|day|week|morning|evening)(?: at \S{1,12})?|nightly|weekly|at midnight",
            r"on weekends|while charging|(?:only )?on wi-?fi|when (?:idle|charging|plugged in)",
        ),
    ),
    (
        "continual learning: a node's examples are read when it joins",
        (r"continual(?: learning)?|online learning|streaming data|life-?long(?: learning)?",),
    ),
)


def read_out_of_reach(words: Words, wishes: Wishes) -> None:
    """Notes each such wish with its words, once for each kind; a wish to do without needs no note."""
    for what, patterns in _NOT_OFFERED:
        expression = rf"(?<![\w-])(?:{'|'.join(patterns)})(?!\w)"
        words.denies(expression)
        found = words.all(expression)
        if found:
            named = "”, “".join(dict.fromkeys(each[0].strip()[:60] for each in found))
            wishes.notes.append(f"“{named}” is not part of the plan. Not offered: {what}.")

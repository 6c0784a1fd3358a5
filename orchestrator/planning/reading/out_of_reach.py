"""What people of the field ask for and a task cannot have: said, and never promised."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.planning.reading.wishes import Wishes
from orchestrator.planning.reading.words import Words

SCHEDULES = "learning-rate schedules: the rate is the same in every round; change it between tasks"
_UNMET: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "vertical or split learning: every node has whole examples and the whole model",
        (r"vertical(?:ly)?(?: (?:federated(?: learning)?|fl|partition\w*|split))?", r"split[- ]learning"),
    ),
    (
        "that kind of learning: tasks are classification, or adapters of a language model that writes or classifies",
        (
            r"(?<!logistic )(?<!softmax )regress(?:ion|or)|(?:time[- ]series )?forecast\w*|anomal\w+(?: detect\w+)?",
            r"object detect\w+|detect(?:ing)? objects|(?:semantic |instance |image )?segmentation",
            r"segment(?:ing)? (?:images?|scans?|pictures?)|recommend(?:ation|er)s?(?: systems?)?",
            r"speech(?: recognition)?|audio|voice|translat\w+",
            r"reinforcement(?: learning)?|diffusion(?: models?)?|image generation|gans?|graph neural networks?|gnns?",
        ),
    ),
)
_HIERARCHIES = (
    "hierarchies or clusters of nodes: there is one server and one global model",
    (
        r"hierarch(?:y|ical)(?: (?:fl|federat\w+|federated learning|aggregation))?",
        r"(?:\d{1,9} )?edge servers?|multi-tier|cluster(?:ed|ing)(?: (?:fl|clients|nodes))?|ifca",
    ),
)
_UNKNOWN_DATA = (
    "that data set by this name: it is not in the catalogue; search_datasets with hub=true looks on the Hub, and "
    "each node can bring it as `own`",
    (
        r"imagenet(?:-?\d{0,3}k?)?|cifar[-_ ]?100(?! (?:clients|nodes|phones|devices|users|rounds))",
        r"celeba|femnist|emnist|coco|svhn|sst-?2|imdb|ag[-_ ]?news|wikitext\S*",
        r"tiny-?imagenet|stl-?10|kmnist|medmnist|chexpert|mimic\S*|iris|sent140|reddit|stack ?overflow",
    ),
)
_SEQUENCES = "time series by name: say how many values and classes there are, and each node brings them as `own`"
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
        "more privacy than that data stay on their nodes: the server, whose operator is trusted, sees each update",
        (r"(?:keep\w* (?:\w+ ){0,2})?private|privacy(?:[- ]preserving)?|confidential(?:ity)?|anonym\w+|gdpr|hipaa",),
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
        "training without a server: one coordinator runs the rounds",
        (r"decentrali[sz]ed", r"peer[- ]to[- ]peer|p2p|gossip\w*|swarm learning|blockchain\w*|serverless"),
    ),
    (
        "distillation: nodes exchange weights of one architecture",
        (r"(?:knowledge )?distill\w+|fedmd|feddf|student model",),
    ),
    (
        SCHEDULES,
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
        "that architecture: models of images and numbers are the catalogue's (search_models), pretrained ones are "
        "language models hf:…",
        (
            r"resnets?(?:-?\d{1,3})?|vits?|vision transformers?|mobile-?nets?\w*|efficient-?nets?\w*|u-?nets?|vgg\w*",
            r"densenets?\w*|yolo\w*|lstms?|rnns?|grus?|xg-?boost|random forests?|decision trees?|svms?|whisper",
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


def read_unmet(words: Words, wishes: Wishes) -> None:
    """What no other plan can stand for, before its words are taken for data that there are, or numbers for nodes."""
    for what, patterns in _UNMET:
        if said := _said(words, patterns):
            wishes.unmet.append(not_offered(said, what))
    what, patterns = _UNKNOWN_DATA
    if said := _said(words, patterns):
        wishes.unknown_data.append(not_offered(said, what))
    wishes.notes += [*wishes.unmet, *wishes.unknown_data]
    if said := _said(words, (r"time[- ]series",)):
        wishes.unknown_data.append(not_offered(said, _SEQUENCES))
    what, patterns = _HIERARCHIES
    if said := _said(words, patterns):
        wishes.notes.append(not_offered(said, what))


def read_out_of_reach(words: Words, wishes: Wishes) -> None:
    """Notes each such wish with its words, once for each kind; a wish to do without needs no note."""
    for what, patterns in _NOT_OFFERED:
        if said := _said(words, patterns):
            wishes.notes.append(not_offered(said, what))


def not_offered(said: Iterable[str], what: str) -> str:
    """The note about words that ask for it."""
    named = "”, “".join(dict.fromkeys(each.strip()[:60] for each in said))
    return f"“{named}” is not part of the plan. Not offered: {what}."


def _said(words: Words, patterns: tuple[str, ...]) -> list[str]:
    expression = rf"(?<![\w-])(?:{'|'.join(patterns)})(?!\w)"
    words.denies(expression)
    return [found[0] for found in words.all(expression)]

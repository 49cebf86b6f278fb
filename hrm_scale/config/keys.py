"""One line of description for every configuration key, in the order they are shown.

Plain data without imports: `--help` prints it, the schema attaches it to its fields, and
`docs/configuration.md` lists it (tests keep the three equal).
"""

from __future__ import annotations

TRAIN: dict[str, str] = {
    "data_path": "the data set: a folder of shards, an address of one (s3, gs, http, hf), a "
    "published folder of .npy arrays, or a file that mixes several",
    "data_build": "command that builds the data set, printed where it is missing; --output-dir "
    "data_path is added",
    "global_batch_size": "examples per optimizer step, over all devices and micro-batches",
    "epochs": "end after so many passes over the puzzles; null when another limit is given",
    "max_steps": "end after so many optimizer steps",
    "max_samples": "end after so many training samples",
    "max_flops": "end after so much training work, in floating-point operations",
    "max_time": "end after so much training time: 45s, 30m, 2h, 1h30m, or seconds",
    "eval_interval": "evaluate every so many epochs; null for only at the end",
    "checkpoint_every_eval": "save a checkpoint at each evaluation",
    "lr": "peak learning rate of the network",
    "lr_min_ratio": "last learning rate as a share of the peak (cosine decay; 1.0 is constant)",
    "lr_warmup_steps": "steps of linear warm-up",
    "beta1": "the optimizer's decay of the first moment",
    "beta2": "the optimizer's decay of the second moment",
    "weight_decay": "decoupled weight decay of the network",
    "optimizer": "of the network: adam_atan2 (as published), adamw, or muon (matrices; the rest by "
    "adam_atan2)",
    "ema": "keep an exponential moving average of the weights as well, and evaluate both",
    "ema_rate": "share of the old average in the new one after each step",
    "puzzle_emb_lr": "learning rate of the puzzle embeddings (sign-SGD)",
    "puzzle_emb_weight_decay": "decoupled weight decay of the puzzle embeddings",
    "project_name": "project in the logs; null derives it from data_path and arch.name",
    "run_name": "name of the run; null derives it from what is trained, so that the same command "
    "continues the same run",
    "checkpoint_path": "folder of the run; null is checkpoints/PROJECT_NAME/RUN_NAME",
    "seed": "seed of the weights, the order of the data and every random draw",
    "resume": "auto (go on where the run stopped, else start), never, must, or the PATH of a "
    "checkpoint",
    "init_from": "start from the weights of a checkpoint (averaged where it has them), with a new "
    "optimizer at step 0; null starts from random ones",
    "arch.name": "the architecture: hrm_v1, hrm_v2 (transformer), trm, urm, or a published name "
    "module@Class",
    "arch.halt_exploration_prob": "chance that a row must go on for a random number of steps",
    "arch.halt_max_steps": "most ACT steps a puzzle may take",
    "arch.H_cycles": "cycles of the high level in one ACT step",
    "arch.L_cycles": "cycles of the low level in each high-level cycle",
    "arch.H_layers": "transformer blocks of the high level",
    "arch.L_layers": "transformer blocks of the low level",
    "arch.hidden_size": "width of the network",
    "arch.num_heads": "attention heads",
    "arch.expansion": "width of the feed-forward part relative to hidden_size",
    "arch.puzzle_emb_ndim": "numbers per puzzle embedding; 0 for none",
    "arch.pos_encodings": "positions: rope, learned or none",
    "arch.rope_theta": "base of the rotary frequencies",
    "arch.rms_norm_eps": "epsilon of the RMS norm",
    "arch.forward_dtype": "arithmetic of the forward pass: auto (bfloat16 where the device "
    "computes it natively, else float32; a resume keeps it), bfloat16 or float32; weights are "
    "float32 always",
    "arch.act_enabled": "false: every puzzle takes halt_max_steps steps",
    "arch.q_continue": "halting: bootstrap (learn the value of going on too, at the price of a "
    "second forward pass), none (halt when the halt value is above 0), or untrained (compare with "
    "a value that is not learned, as the published transformer does)",
    "arch.no_ACT_continue": "published spelling of arch.q_continue: true is none, false is "
    "bootstrap; null leaves it to arch.q_continue",
    "arch.grad_cycles": "low-level steps of the last high-level cycle that keep a gradient: a "
    "number up to L_cycles, or all",
    "arch.depth_curriculum": "cgar: a third of the cycles at first, two thirds from 30 % of the "
    "run, all of them from 60 %; off: all of them always",
    "arch.mlp_t": "mix positions by a SwiGLU over them instead of attention",
    "arch.conv_kernel": "width of a depthwise convolution over positions inside the SwiGLU; 0 for "
    "none",
    "arch.puzzle_emb_len": "positions of the puzzle embedding; 0 for as many as it fills",
    "arch.random_init": "start each puzzle from a random state of its own instead of a fixed one",
    "arch.noise_scale": "deviation of the noise added to a state at every update; 0 for none",
    "arch.relaxation": "share of the new state in every update; 1 replaces the old one",
    "arch.loss.name": "the loss head: act, or the published name losses@ACTLossHead",
    "arch.loss.loss_type": "token loss: stablemax_cross_entropy or softmax_cross_entropy",
    "data.refill": "always: draw every slot each step as the reference does; on_halt: a slot takes "
    "the next example only when it is free",
    "data.window": "records shuffled together: a number, or all",
    "data.prefetch": "batches prepared ahead of use",
    "data.threads": "reading threads per process; 0 reads in the training thread",
    "data.on_error": "a damaged record: raise (stop and name it) or mask (leave it out, count it)",
    "data.verify": "check the hash of each record when it is first read",
    "data.sampling": "epoch: every example of the puzzle drawn for a group; reference: puzzles are "
    "cut where a batch ends, as the published trainer does",
    "data.widen": "where tokens become int32: host, device (a quarter of the bytes to move), or "
    "auto (device on a GPU)",
    "data.cache": "folder on this node for data read from an address; null is ~/.cache/hrm_scale",
    "data.cache_gb": "GiB the cache may hold; the least recently used data go first",
    "data.downloads": "downloads at the same time, of each process",
    "data.retry_minutes": "how long a server may fail before the run stops",
    "engine.accumulation": "micro-batches per optimizer step; divides global_batch_size",
    "engine.compile": "torch.compile: auto, true or false",
    "engine.attention": "attention kernel: auto, sdpa, flash2 or flash3",
    "engine.device": "where to train: auto, cpu or cuda",
    "engine.deepspeed": "auto (what accelerate launch was told), off, or the path of a DeepSpeed "
    "JSON file",
    "engine.puzzle_table": "where the puzzle embeddings live: device (a copy on each), host (its "
    "memory), or sharded (rows spread over the processes)",
    "engine.activation_checkpointing": "compute blocks with gradient twice instead of keeping "
    "what they need: less memory, same result",
    "engine.timeout_minutes": "longest wait for another process before the run is given up",
    "checkpoint.every_steps": "save every so many steps; null for not by steps",
    "checkpoint.every_minutes": "save every so many minutes; null for not by time",
    "checkpoint.keep_last": "checkpoints kept; older ones are removed after a newer one is safe",
    "checkpoint.at_end": "save when the run ends",
    "checkpoint.asynchronous": "write checkpoints in the background, from a copy in host memory",
    "checkpoint.keep_best": "keep the best checkpoint, by early_stopping.metric; checkpoints/best",
    "early_stopping.patience": "end the run after so many evaluations without a new best; null is "
    "never",
    "early_stopping.metric": "what an evaluation is judged by: exact_accuracy, accuracy or lm_loss",
    "early_stopping.min_delta": "a new best is better than the last one by more than this",
    "guards.non_finite": "at a NaN or infinite loss or gradient: raise (end the run), skip (leave "
    "the step out), or rollback (to the last checkpoint, and past these samples)",
    "guards.limit": "most steps left out, and most returns, within 1000 steps; then the run ends",
    "guards.loss_spike": "warn of a loss so many times the median of the last 50 reports; null is "
    "never",
    "guards.stall_minutes": "after so long without progress print what every process is doing; "
    "null is never",
    "evaluation.every_steps": "evaluate every so many steps; null leaves it to eval_interval",
    "evaluation.limit": "examples of an evaluation during training (a seeded subset); null is all",
    "evaluation.batch_size": "examples per evaluation batch; null is global_batch_size",
    "evaluation.seed": "seed of that subset",
    "evaluation.full_at_end": "evaluate on the whole test split when the run ends",
    "log.every": "steps between two lines of metrics",
    "log.console": "what the terminal shows: auto, bar, line or quiet",
    "log.wandb": "Weights & Biases: auto (online with a key or login, else offline), online, "
    "offline or off",
}

EVALUATE: dict[str, str] = {
    "checkpoint": "folder of a checkpoint, or of a run (its newest checkpoint)",
    "data_path": "folder of the data set; null is the one the run was trained on",
    "split": "which split to evaluate",
    "limit": "examples to evaluate (a seeded subset); null is all",
    "batch_size": "examples per batch; null is the run's global_batch_size",
    "seed": "seed of the subset",
    "halt_max_steps": "ACT steps per puzzle; null is as trained",
    "early_exit": "let a puzzle go as soon as the halt head says so and the answer has stood for a "
    "step, and take the next one in its place",
    "steps": "accuracy after each of these numbers of ACT steps, from one pass: 1,2,4,8,16",
    "trajectories": "accuracy with so many reasoning paths for each puzzle, the answer chosen by "
    "halt head, by agreement and by the rules: 1,2,4,8",
    "noise": "deviation of the noise added to the states of every path but the first, before each "
    "ACT step",
    "random_start": "start every path but the first from a random state",
    "augmentation_counts": "ARC: accuracy with votes of so many augmentations, drawn from one "
    "pass: 1,2,3,5,10,30,100",
    "random_seed": "seed of those draws, and of noise and random states",
    "aggregated_voting": "ARC: add the votes that earlier evaluations left in output_dir",
    "failures": "write failures.html into output_dir, with so many of the puzzles that fail",
    "output_dir": "folder for results, tables and plots; null writes none",
    "dtype": "arithmetic of the forward pass: auto (as trained), bfloat16 or float32",
    "weights": "which weights: averaged, raw, or auto (averaged where the checkpoint has them)",
    "engine.compile": "torch.compile: auto, true or false",
    "engine.attention": "attention kernel: auto, sdpa, flash2 or flash3",
    "engine.device": "where to compute: auto, cpu or cuda",
}

PREDICT: dict[str, str] = {
    "checkpoint": "folder of a checkpoint, or of a run (its newest checkpoint)",
    "puzzle": "one puzzle as text, row after row; '.', '0' or '_' is a blank cell",
    "file": "a file of puzzles: one a line, CSV, or ARC's JSON (of a task, or of several); - reads "
    "standard input",
    "data_path": "data set that names the ARC tasks the model knows; null is the one it was "
    "trained on",
    "trace": "show the answer after every ACT step",
    "output": "file to write as well: .json (answers; ARC's form for ARC), .csv, .html or .gif "
    "(the steps, animated)",
    "halt_max_steps": "ACT steps per puzzle; null is as trained",
    "weights": "which weights: averaged, raw, or auto (averaged where the checkpoint has them)",
    "device": "where to compute: auto, cpu or cuda",
    "color": "coloured output: auto (on a terminal), always or never",
}

PLAY: dict[str, str] = {
    "checkpoint": "folder of a checkpoint, or of a run (its newest checkpoint)",
    "data_path": "data set to take examples from; null is the one the run was trained on, if it is "
    "still there",
    "host": "address to listen on; 127.0.0.1 is this machine alone",
    "port": "port to listen on; 0 takes a free one",
    "browser": "open the page in a browser",
    "halt_max_steps": "most ACT steps the page offers; null is four times as trained",
    "weights": "which weights: averaged, raw, or auto (averaged where the checkpoint has them)",
    "device": "where to compute: auto, cpu or cuda",
}

BASES: dict[str, dict[str, str]] = {
    "train": TRAIN,
    "evaluate": EVALUATE,
    "predict": PREDICT,
    "play": PLAY,
}

# What each group of keys is about, for headings. The empty name is the top level.
SECTIONS: dict[str, str] = {
    "": "the run",
    "arch": "architecture",
    "arch.loss": "loss",
    "data": "reading the data",
    "engine": "machine",
    "checkpoint": "checkpoints",
    "evaluation": "evaluation during training",
    "early_stopping": "early stopping",
    "guards": "guards",
    "log": "logging",
}


def section_of(key: str) -> str:
    """The dotted name of the group a key belongs to; empty for the top level."""
    return key.rpartition(".")[0]

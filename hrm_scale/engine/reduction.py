"""How gradients of several ranks become one.

DDP reads the annotations of this function as objects, so this file must not postpone them.
"""

import torch
import torch.distributed as dist


def sum_over_ranks(_: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """DDP communication hook: a plain sum, where DDP itself would take the mean."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])

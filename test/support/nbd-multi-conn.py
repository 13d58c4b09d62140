"""Four libnbd connections to one export: what one wrote, and was answered for, all of them see."""

import random
import sys

import nbd

uri, size = sys.argv[1], int(sys.argv[2])
block = 4096
rng = random.Random(42)
handles = [nbd.NBD() for _ in range(4)]
for handle in handles:
    handle.connect_uri(uri)
assert all(handle.can_multi_conn() for handle in handles), "CAN_MULTI_CONN"
assert handles[0].can_df() and handles[0].can_fua() and handles[0].can_fast_zero()

# Answered on one connection means visible on every other, with and without FUA and flush.
for turn in range(200):
    at = rng.randrange(size // 2 // block) * block
    data = rng.randbytes(block)
    writer = handles[turn % 4]
    writer.pwrite(data, at, nbd.CMD_FLAG_FUA if turn % 3 == 0 else 0)
    if turn % 10 == 0:
        handles[(turn + 1) % 4].flush()
    for reader in handles:
        assert reader.pread(block, at) == data, f"turn {turn}"
        chunks = []
        whole = reader.pread_structured(
            block, at, lambda part, offset, kind, error: chunks.append(offset), nbd.CMD_FLAG_DF
        )
        assert whole == data and chunks == [at], f"turn {turn}, DF"

# 1024 pipelined writes, interleaved block by block over the connections.
base = size // 2
blocks = [rng.randbytes(block) for _ in range(1024)]
cookies = []
for index, data in enumerate(blocks):
    handle = handles[index % 4]
    cookies.append((handle, handle.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), base + index * block)))
for handle, cookie in cookies:
    while not handle.aio_command_completed(cookie):
        handle.poll(-1)
handles[0].flush()
assert handles[3].pread(1024 * block, base) == b"".join(blocks), "interleaved writes"

handles[1].zero(block * 10, base, nbd.CMD_FLAG_NO_HOLE)
handles[2].trim(block * 10, base + block * 10)
handles[2].cache(block, base)
assert handles[0].pread(block * 20, base) == bytes(block * 20), "zeroed and trimmed"

for handle in handles:
    handle.shutdown()
print("ok")

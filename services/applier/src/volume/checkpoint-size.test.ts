import { describe, expect, test } from 'vitest'
import { KiB, MiB } from '@blockferry/runtime'
import { type Lineage, pastGenerationsMax } from '@blockferry/disk-stream'
import { TargetWorld } from '../../testing/target-world.ts'
import { seededRandom } from '../../testing/virtual-time.ts'
import { applierReadiness } from '../http/readiness.ts'
import { stateOf } from '../disk/disk-state.ts'
import { defaultApplierOptions } from '../options.ts'
import { type CheckpointDisk, decodeCheckpoint, encodeCheckpoint } from './checkpoint-body.ts'

const diskCount = 60
const random = seededRandom(5)

/** A line that packs badly: every id and number is its own. */
function lineOf(number: number): CheckpointDisk {
  const diskId = `disk-${number}-${random.hex(6)}`
  const past = Array.from({ length: pastGenerationsMax }, (_, at) => {
    const id = random.hex(16)
    const left = {
      generation: at + 1,
      generationId: id,
      sequence: random.uint32(),
      chain: random.uint32(),
    }
    return { number: at + 1, id, left }
  })
  const generation = pastGenerationsMax + 1
  const generationId = random.hex(16)
  const position = { generation, generationId, sequence: random.uint32(), chain: random.uint32() }
  const stamp = { agentId: random.hex(16), counter: random.uint32() }
  const applied: Lineage = {
    applied: position,
    current: {
      number: generation,
      id: generationId,
      ownerSite: 'site-a',
      reason: 'resync',
      base: { kind: 'full' },
      predecessor: past.at(-1)?.left ?? null,
      stamp,
    },
    past,
    stamps: [{ ...stamp, generation }],
  }
  const owner = { ownerSite: 'site-a', generation, generationId }
  return {
    diskId,
    descriptor: {
      diskId,
      formatVersion: 1,
      sizeBytes: random.uint32() * 512,
      provisioning: 'thin',
      groupId: `group-${number >> 2}`,
      kafkaPartition: number % 16,
      ...owner,
    },
    owner,
    applied,
    writingThrough: { ...position, sequence: random.uint32(), chain: random.uint32() },
    resyncing: false,
    appliedCapturedAtMs: 1_700_000_000_000 + random.uint32(),
    openableAsOfMs: 1_700_000_000_000 + random.uint32(),
    cut: { cutId: random.hex(16), wallTimeMs: 1_700_000_000_000 + random.uint32() },
    identity: { imageId: random.hex(16), fileId: `2049:${random.uint32()}` },
    replayFrom: random.uint32(),
    stamps: applied.stamps,
    kafkaPartition: number % 16,
    appliedKafkaOffset: BigInt(random.uint32()),
    parkedFrom: BigInt(random.uint32()),
    base: { generation, topicId: 'topic', kafkaPartition: 3, kafkaOffset: BigInt(random.uint32()) },
    source: {
      agentId: stamp.agentId,
      stampCounter: random.uint32(),
      sourceTimeMs: 1_700_000_000_000 + random.uint32(),
      arrivedAtMs: 1_700_000_000_000 + random.uint32(),
      clockSkew: { estimateMs: random.uint32() / 7, errorMs: random.uint32() / 7 },
      disk: {
        diskId,
        state: 'STREAMING',
        code: null,
        position: { ...position, sequence: random.uint32(), chain: random.uint32() },
        consistentAsOfMs: 1_700_000_000_000 + random.uint32(),
        spooledEvents: random.uint32(),
        spooledBytes: random.uint32(),
        oldestSpooledAtMs: 1_700_000_000_000 + random.uint32(),
        progress: null,
      },
    },
  }
}

/** Many disks, whose checkpoint outgrows one slot of 4 KiB. */
function crowded(slotBytes: number): TargetWorld {
  const world = new TargetWorld({ applyIntervalMs: 50, idleCheckpointMs: 500 })
  world.slotBytes = slotBytes
  for (let number = 0; number < diskCount; number += 1) {
    const disk = world.source(`disk-${random.hex(60)}`)
    disk.writeNoise(1, random, 1)
    world.arrive(disk.fullSync())
  }
  return world
}

const disksOf = (world: TargetWorld) => [...world.live.volume.disks.values()]
const codesOf = (world: TargetWorld) => [...new Set(disksOf(world).map((disk) => stateOf(disk).code))]
const allDrained = (world: TargetWorld) => () => [...world.sources.keys()].every((id) => world.drained(id))

function expectEqualImages(world: TargetWorld): void {
  for (const [diskId, source] of world.sources) expect(world.imageOf(diskId).equals(source.bytes)).toBe(true)
}

describe('a checkpoint', () => {
  test('of 4,096 disks with as many past generations as are kept fits the default limit', () => {
    const disks = Array.from({ length: 4_096 }, (_, number) => lineOf(number))
    const body = { topicId: random.hex(16), cursors: new Map(), replayFrom: 1, disks }
    const record = encodeCheckpoint(body)
    expect(record.length).toBeLessThan(defaultApplierOptions.checkpointBytesMax)
    expect(decodeCheckpoint(record).disks).toHaveLength(4_096)
  })

  test('that could not be read back is refused with a code, never written', () => {
    const topicId = 'x'.repeat(64 * MiB)
    expect(() => encodeCheckpoint({ topicId, cursors: new Map(), replayFrom: 1, disks: [] })).toThrow(
      expect.objectContaining({ code: 'CHECKPOINT_TOO_LARGE' }),
    )
  })

  test('that outgrows its file halts with what to do, and a larger file lets everything go on', async () => {
    const world = crowded(4 * KiB)
    await world.start()
    await world.time.until(() => codesOf(world).includes('CHECKPOINT_TOO_LARGE'), 'the refusal')
    const halted = disksOf(world).find((disk) => disk.halt?.code === 'CHECKPOINT_TOO_LARGE')
    expect(halted?.halt?.nextCommand).toContain('checkpointBytesMax')
    expect(halted?.halt?.message).toMatch(/checkpoint of \d+ disks takes \d+ bytes, and 4072 fit/)
    await world.time.pass(30_000)
    await world.stop()
    world.slotBytes = 64 * KiB
    await world.start()
    await world.time.until(allDrained(world), 'every disk')
    expect(codesOf(world)).toEqual([null])
    expectEqualImages(world)
    await world.stop()
  })

  test('that does not fit at the start is no crash: all say why, nothing new is acknowledged (V3)', async () => {
    const world = crowded(4 * KiB)
    await world.start()
    await world.time.until(() => codesOf(world).includes('CHECKPOINT_TOO_LARGE'), 'the refusal')
    const received = world.live.volume.stats.setsAccepted
    expect(received).toBe(diskCount)
    world.crash()
    await world.start()
    expect(codesOf(world)).toEqual(['CHECKPOINT_TOO_LARGE'])
    expect(applierReadiness(world.live).reasons.join()).toContain('no checkpoint could be written')
    const [source] = world.sources.values()
    source!.write(3, 3)
    world.arrive(source!.set())
    await world.time.pass(60_000)
    expect(world.live.volume.stats.setsAccepted).toBe(0)
    expect(world.log.filter((line) => line.includes('broken'))).toEqual([])
    await world.stop()
    world.slotBytes = 64 * KiB
    await world.start()
    await world.time.until(allDrained(world), 'every disk')
    expect(applierReadiness(world.live).ready).toBe(true)
    expectEqualImages(world)
    await world.stop()
  })

  test('that fails at the start halts until one succeeds, and then everything goes on by itself', async () => {
    const world = crowded(64 * KiB)
    await world.start()
    await world.time.until(allDrained(world), 'every disk')
    await world.stop()
    let failsLeft = 3
    world.wrapSlots = (file) => ({
      ...file,
      writeAt: (position, data) => {
        failsLeft -= 1
        if (failsLeft < 0) return file.writeAt(position, data)
        return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
      },
    })
    await world.start()
    expect(codesOf(world)).toEqual(['CHECKPOINT_FAILED'])
    const [source] = world.sources.values()
    source!.write(3, 3)
    world.arrive(source!.set())
    await world.time.until(allDrained(world), 'every disk')
    expect(codesOf(world)).toEqual([null])
    await world.stop()
  })
})

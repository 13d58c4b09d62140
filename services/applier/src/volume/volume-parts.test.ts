import { zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { KiB } from '@blockferry/runtime'
import { emptyLineage, type Position } from '@blockferry/disk-stream'
import { MemorySegmentDirectory, openMemorySegmentLog, type SegmentFaultPlan } from '@blockferry/segment-log'
import { MemorySlotMedium, openControlSlots } from '@blockferry/storage'
import { seededRandom } from '../../testing/virtual-time.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint-body.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import { Journal } from './journal.ts'
import { type RecoveryPoint, RecoveryPointIndex } from './recovery-point-index.ts'

function point(number: number, given: Partial<RecoveryPoint> = {}): RecoveryPoint {
  const position: Position = { generation: 1, generationId: 'f'.repeat(32), sequence: number, chain: number }
  return {
    cutId: number.toString(16).padStart(32, '0'),
    groupId: null,
    name: null,
    requestId: null,
    wallTimeMs: number * 1_000,
    members: [
      { diskId: 'vda', position, base: { generation: 1, topicId: 't', kafkaPartition: 0, kafkaOffset: 5n } },
    ],
    ...given,
  }
}

async function openIndex(directory: MemorySegmentDirectory, entriesMax: number): Promise<RecoveryPointIndex> {
  const random = seededRandom(3)
  const limits = { segmentBytes: 8 * KiB, bytesMax: 1024 * KiB }
  const open = () => openMemorySegmentLog({ directory, limits, random })
  const index = new RecoveryPointIndex(new Journal(open, (await open()).log), entriesMax)
  await index.load()
  return index
}

function idsOf(index: RecoveryPointIndex, query: object = {}): readonly number[] {
  const page = index.query({ limit: 1_000, cursor: null, ...query })
  return page.recoveryPoints.map((found) => Number.parseInt(found.cutId, 16))
}

describe('the recovery point index', () => {
  test('keeps a point once, however often a replay adds it, also over a restart', async () => {
    const directory = new MemorySegmentDirectory()
    const index = await openIndex(directory, 100)
    await index.add([point(1), point(2)])
    await index.add([point(2), point(3)])
    expect(idsOf(index)).toEqual([3, 2, 1])
    const again = await openIndex(directory, 100)
    await again.add([point(3), point(4)])
    expect(idsOf(again)).toEqual([4, 3, 2, 1])
    expect(again.query({ limit: 1, cursor: null }).recoveryPoints[0]).toEqual(point(4))
  })

  test('is bounded: the oldest points go, from memory and from disk', async () => {
    const directory = new MemorySegmentDirectory()
    const index = await openIndex(directory, 100)
    for (let number = 1; number <= 450; number += 1) await index.add([point(number)])
    expect(index.count).toBeLessThanOrEqual(100)
    expect(idsOf(index)[0]).toBe(450)
    expect(idsOf(await openIndex(directory, 100))[0]).toBe(450)
  })

  test('is bounded in bytes, too: points of large groups go sooner, and adding never stops', async () => {
    const directory = new MemorySegmentDirectory()
    const index = await openIndex(directory, 100_000)
    const [member] = point(1).members
    const members = Array.from({ length: 30 }, (_, at) => ({ ...member!, diskId: `disk-${at}` }))
    for (let number = 1; number <= 300; number += 1) await index.add([point(number, { members })])
    expect(idsOf(index).slice(0, 3)).toEqual([300, 299, 298])
    expect(idsOf(await openIndex(directory, 100_000))).toEqual(idsOf(index))
  })

  test('makes durable what a killed process left in the page cache, before a checkpoint relies on it', async () => {
    const directory = new MemorySegmentDirectory()
    await openIndex(directory, 100)
    const random = seededRandom(3)
    const limits = { segmentBytes: 8 * KiB, bytesMax: 1024 * KiB }
    const { log } = await openMemorySegmentLog({ directory, limits, random })
    const { members, ...rest } = point(1)
    const stored = members.map((each) => ({ ...each, base: { ...each.base, kafkaOffset: '5' } }))
    await log.append([[Buffer.from(JSON.stringify({ ...rest, members: stored }))]])
    // Killed before its fdatasync; the replay of the journal adds the point again.
    directory.crash({ loseUnflushed: false })
    await (await openIndex(directory, 100)).add([point(1)])
    directory.crash({ loseUnflushed: random })
    expect(idsOf(await openIndex(directory, 100))).toEqual([1])
  })

  test('pages through everything exactly once, newest first, while points are added', async () => {
    const index = await openIndex(new MemorySegmentDirectory(), 1_000)
    for (let number = 1; number <= 25; number += 1) await index.add([point(number)])
    const seen: number[] = []
    let cursor: number | null = null
    do {
      const page = index.query({ limit: 10, cursor })
      seen.push(...page.recoveryPoints.map((found) => Number.parseInt(found.cutId, 16)))
      cursor = page.nextCursor
      await index.add([point(100 + seen.length)])
    } while (cursor !== null)
    expect(seen).toEqual(Array.from({ length: 25 }, (_, at) => 25 - at))
  })

  test('finds by disk, by group and by time', async () => {
    const index = await openIndex(new MemorySegmentDirectory(), 1_000)
    await index.add([point(1), point(2, { groupId: 'db' }), point(3)])
    expect(idsOf(index, { groupId: 'db' })).toEqual([2])
    expect(idsOf(index, { diskId: 'vdb' })).toEqual([])
    expect(idsOf(index, { fromMs: 2_000, toMs: 2_000 })).toEqual([2])
  })
})

describe('the redo journal', () => {
  test('acknowledges nothing before its fdatasync is over (J1)', async () => {
    const directory = new MemorySegmentDirectory()
    const limits = { segmentBytes: 8 * KiB, bytesMax: 1024 * KiB }
    const { log } = await openMemorySegmentLog({ directory, limits, random: seededRandom(3) })
    const over = Promise.withResolvers<void>()
    let begun = false
    const slow = new Proxy(log, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target)
        if (typeof value !== 'function') return value
        if (name !== 'sync') return value.bind(target)
        return async () => {
          begun = true
          await over.promise
          await target.sync()
        }
      },
    })
    const journal = new Journal(() => Promise.reject(new Error('is not reopened')), slow)
    let acknowledged = false
    const appending = journal.append([[Buffer.from('one')]]).then(() => (acknowledged = true))
    await expect.poll(() => begun).toBe(true)
    await new Promise((resolve) => setImmediate(resolve))
    expect(acknowledged).toBe(false)
    over.resolve()
    await appending
  })

  test('is read through its reopening after a failed fdatasync, and through a reopening that fails (J2)', async () => {
    const directory = new MemorySegmentDirectory()
    const limits = { segmentBytes: 8 * KiB, bytesMax: 1024 * KiB }
    let failures = 0
    const faults: SegmentFaultPlan = (operation) => {
      return operation === 'sync' && failures-- > 0 ? { code: 'EIO' } : null
    }
    const opened = () => openMemorySegmentLog({ directory, limits, random: seededRandom(3), faults })
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let openings = 0
    const journal = new Journal(
      async () => {
        await gates[openings++]?.promise
        return opened()
      },
      (await opened()).log,
    )
    const [lsn = 0] = await journal.append([[Buffer.from('one')]])
    failures = 1
    await expect(journal.append([[Buffer.from('two')]])).rejects.toMatchObject({ code: 'LOG_SYNC_FAILED' })
    const again = journal.append([[Buffer.from('two')]])
    await expect.poll(() => openings).toBe(1)
    const reading = journal.reader(lsn)
    gates[0]?.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
    await expect(again).rejects.toThrow('EIO')
    gates[1]?.resolve()
    await using reader = await reading
    expect((await reader.next())?.body.toString()).toBe('one')
    await journal.append([[Buffer.from('three')]])
    await journal[Symbol.asyncDispose]()
  })
})

describe('the checkpoint', () => {
  test('reads back as it was written, Kafka offsets and all', () => {
    const body = {
      topicId: 'topic',
      cursors: new Map([[3, 2n ** 60n]]),
      replayFrom: 4096,
      disks: [
        {
          diskId: 'vda',
          descriptor: null,
          owner: null,
          applied: emptyLineage,
          writingThrough: null,
          resyncing: true,
          appliedCapturedAtMs: 12.5,
          openableAsOfMs: null,
          cut: null,
          identity: { imageId: 'i', fileId: '1:2' },
          replayFrom: 4096,
          stamps: [],
          kafkaPartition: 3,
          appliedKafkaOffset: 7n,
          parkedFrom: null,
          base: { generation: 1, topicId: 'topic', kafkaPartition: 3, kafkaOffset: 0n },
          source: null,
        },
      ],
    }
    expect(decodeCheckpoint(encodeCheckpoint(body))).toEqual(body)
  })

  test('of format version 1 is still read, without a source that it did not know of', () => {
    const line = { diskId: 'vda', applied: emptyLineage, appliedKafkaOffset: { kafkaOffset: '7' } }
    const plain = { formatVersion: 1, topicId: 'topic', cursors: [], replayFrom: 4096, disks: [line] }
    const body = decodeCheckpoint(zstdCompressSync(Buffer.from(JSON.stringify(plain))))
    expect(body.disks).toEqual([{ ...line, appliedKafkaOffset: 7n, source: null }])
  })

  test('is written once for all who asked while a write flew', async () => {
    const slots = await openControlSlots({ file: new MemorySlotMedium().open(), slotBytes: 4 * KiB })
    let value = 0
    const writer = new CheckpointWriter(slots, () => ({
      record: Buffer.from(String(value)),
      written: async () => {},
    }))
    const first = writer.commit()
    value = 1
    await Promise.all([first, writer.commit(), writer.commit(), writer.commit()])
    expect(writer.writes).toBe(2)
    expect(slots.newest?.record.toString()).toBe('1')
  })
})

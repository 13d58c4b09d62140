import { MiB } from '@blockferry/runtime'
import { packPayloadSync } from '@blockferry/schemas'
import { describe, expect, test } from 'vitest'
import { bigDisk, bigWrite } from '../testing/big-writes.ts'
import { checkOutput, isDrained } from '../testing/check-output.ts'
import { modelDisk, ModelApplier, Rig, writeGroup } from '../testing/rig.ts'
import { readinessOf } from './readiness.ts'

const output = { topic: 'updates', kafkaPartition: 0 }
const input = { topic: 'writes', kafkaPartition: 0 }

describe('an aggregator', () => {
  test('folds what comes within its window into one set, and applied it gives the source', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const member = rig.start('one')
    await rig.clock.pass(50)
    await rig.send([writeGroup(vda, 0, 1), writeGroup(vda, 0, 2), writeGroup(vda, 4, 3)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(rig.sets()).toHaveLength(1)
    expect(rig.sets()[0]).toMatchObject({
      firstSequence: 1,
      lastSequence: 3,
      rawBytes: 24,
      resumeInputOffset: 3n,
    })
    expect(checkOutput(rig).images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    expect(member.meter.closedBy).toEqual({ time: 1 })
    await member.stop()
  })

  test('keeps disks apart and closes each window in the order of its opening', async () => {
    const rig = new Rig()
    const disks = ['vda', 'vdb', 'vdc'].map(modelDisk)
    const member = rig.start('one')
    for (let round = 1; round <= 4; round += 1) {
      for (const disk of disks) await rig.send([writeGroup(disk, round, round)])
    }
    await rig.clock.until(() => isDrained(rig, disks))
    expect(rig.sets().map(({ diskId }) => diskId)).toEqual(['vda', 'vdb', 'vdc'])
    expect(rig.sets().map(({ resumeInputOffset }) => resumeInputOffset)).toEqual([1n, 2n, 12n])
    checkOutput(rig)
    await member.stop()
  })

  test('passes a heartbeat at once, with a resumeInputOffset that owns up to the open window before it', async () => {
    const rig = new Rig({ aggregator: { windowAgeMsMax: 1000 } })
    const vda = modelDisk('vda')
    const member = rig.start('one')
    await rig.clock.pass(50)
    await rig.sendHeartbeat('agent-1')
    await rig.send([writeGroup(vda, 0, 1)])
    await rig.sendHeartbeat('agent-1')
    await rig.clock.until(() => rig.output().length === 2)
    expect(rig.output().map(({ resumeInputOffset }) => resumeInputOffset)).toEqual([1n, 1n])
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(rig.output().at(-1)?.resumeInputOffset).toBe(3n)
    expect(rig.cluster.records(output).map(({ key }) => key?.toString())).toEqual([
      'agent-1',
      'agent-1',
      'vda',
    ])
    checkOutput(rig)
    await member.stop()
  })

  test('drops a late duplicate and says so', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const member = rig.start('one')
    const [first, second] = [writeGroup(vda, 0, 1), writeGroup(vda, 0, 2)]
    await rig.send([first, second, first, second])
    await rig.clock.until(() => member.meter.groups === 4)
    await rig.clock.pass(100)
    expect(member.meter.droppedEvents).toBe(2)
    expect(checkOutput(rig).images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    await member.stop()
  })

  test('keeps the order of its sets when the first takes longest to pack', async () => {
    const slowFirst = Promise.withResolvers<void>()
    let packs = 0
    const rig = new Rig({
      pack: async (data) => {
        packs += 1
        if (packs === 1) await slowFirst.promise
        return packPayloadSync(data)
      },
    })
    const vda = modelDisk('vda')
    const member = rig.start('one')
    await rig.send([writeGroup(vda, 0, 1)])
    await rig.clock.until(() => packs === 1)
    await rig.send([writeGroup(vda, 0, 2)])
    await rig.sendHeartbeat('agent')
    await rig.clock.until(() => packs === 2)
    await rig.clock.pass(100)
    expect(rig.output()).toEqual([])
    slowFirst.resolve()
    await rig.clock.until(() => rig.output().length === 3)
    expect(rig.sets().map(({ lastSequence }) => lastSequence)).toEqual([1, 2])
    checkOutput(rig)
    await member.stop()
  })

  test('claims a group only with the set that holds it, also when that group closes two', async () => {
    const rig = new Rig({ aggregator: { windowAgeMsMax: 1000 } })
    const vda = modelDisk('vda')
    const member = rig.start('one')
    await rig.send([writeGroup(vda, 0, 1)])
    await rig.clock.until(() => member.meter.groups === 1)
    // A mark that is sent again closes the window before it, and its own.
    const { sequence } = vda.append({ kind: 'resyncDone', capturedAtMs: 0 })
    await rig.send([vda.group(1, { first: sequence, last: sequence, resend: true })])
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(rig.sets().map(({ resumeInputOffset }) => resumeInputOffset)).toEqual([1n, 2n])
    checkOutput(rig)
    await member.stop()
  })

  test('two on one partition, as in a rebalance, do no harm', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const members = [rig.start('one', { groupId: 'g1' }), rig.start('two', { groupId: 'g2' })]
    for (let round = 1; round < 10; round += 1) {
      await rig.send([writeGroup(vda, round, round)])
      await rig.clock.pass(7)
    }
    await rig.clock.until(() => isDrained(rig, [vda]))
    await rig.clock.pass(200)
    const applier = checkOutput(rig)
    expect(applier.images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    expect(applier.verdicts.some(({ kind }) => kind === 'drop')).toBe(true)
    expect(applier.halts).toEqual([])
    for (const member of members) await member.stop()
  })

  test('shares the partitions with others and takes over those of a member that is gone', async () => {
    const rig = new Rig({ partitions: 2 })
    const disks = [modelDisk('vda'), modelDisk('vdb')]
    const members = [rig.start('one'), rig.start('two')]
    await rig.clock.pass(200)
    expect(members.map(({ aggregator }) => aggregator.status.partitions.length)).toEqual([1, 1])
    rig.kill('one')
    for (const [partition, disk] of disks.entries()) await rig.send([writeGroup(disk, 0, 9)], partition)
    await rig.clock.until(() => disks.every((disk, partition) => isDrained(rig, [disk], partition)))
    expect(members[1]?.aggregator.status.partitions.map(({ state }) => state)).toEqual(['RUNNING', 'RUNNING'])
    await members[1]?.stop()
  })
})

describe('two that were given one name', () => {
  test('take turns: whoever lost it says so, is not ready, and takes it back a minute later', async () => {
    const rig = new Rig({ groupInstanceId: 'aggregator' })
    const first = rig.start('one')
    await rig.clock.pass(200)
    expect(readinessOf(first.aggregator.status)).toEqual({ ready: true, reasons: [] })
    const second = rig.start('two')
    await rig.clock.pass(200)
    expect(readinessOf(second.aggregator.status)).toEqual({ ready: true, reasons: [] })
    expect(first.aggregator.status).toMatchObject({ code: 'GROUP_MEMBER_FENCED', partitions: [] })
    expect(readinessOf(first.aggregator.status).reasons).toEqual([expect.stringContaining('instance id')])
    expect(rig.log).toContainEqual({ event: 'session-ended', code: 'GROUP_MEMBER_FENCED' })
    await rig.clock.pass(60_000)
    expect(first.aggregator.status).toMatchObject({ code: null })
    expect(second.aggregator.status).toMatchObject({ code: 'GROUP_MEMBER_FENCED', partitions: [] })
    const vda = modelDisk('vda')
    await rig.send([writeGroup(vda, 0, 1)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    await first.stop()
    await second.stop()
  })
})

describe('resuming (K4)', () => {
  test('starts where its output says, not at the beginning and not at a group offset', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const first = rig.start('one')
    await rig.send([writeGroup(vda, 0, 1), writeGroup(vda, 8, 2)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    await first.stop()
    const second = rig.start('two')
    await rig.send([writeGroup(vda, 16, 3)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(second.meter.groups).toBe(1)
    await second.stop()
  })

  test('reads on from the earliest record when retention has outrun it, and says so', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    await rig.send([writeGroup(vda, 0, 1), writeGroup(vda, 8, 2), writeGroup(vda, 16, 3)])
    const first = rig.start('one')
    await rig.clock.until(() => isDrained(rig, [vda]))
    await first.stop()
    await rig.send([writeGroup(vda, 0, 4), writeGroup(vda, 8, 5)])
    rig.cluster.truncateBefore(input, 4n)
    const second = rig.start('two')
    await rig.clock.until(() => rig.sets().at(-1)?.lastSequence === 5)
    expect(rig.log).toContainEqual({ event: 'input-lost', code: 'INPUT_TRUNCATED' })
    await second.stop()
  })

  test('reads everything again when the input ends before its place: those offsets mean other records now', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    await rig.send([writeGroup(vda, 0, 1), writeGroup(vda, 8, 2), writeGroup(vda, 16, 3)])
    const first = rig.start('one')
    await rig.clock.until(() => isDrained(rig, [vda]))
    rig.cluster.truncateFrom(input, 1n)
    await rig.clock.pass(300)
    await rig.send([vda.group(1, { first: 2, last: 3 }), writeGroup(vda, 0, 4)])
    await rig.clock.until(() => rig.output().at(-1)?.resumeInputOffset === 3n)
    expect(rig.log).toContainEqual({ event: 'input-lost', code: 'INPUT_REPLACED' })
    await first.stop()
  })

  test('finds its place behind records at the tail that nobody can read', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const first = rig.start('one')
    for (let round = 1; round <= 5; round += 1) {
      await rig.send([writeGroup(vda, round, round)])
      await rig.clock.until(() => rig.sets().length === round)
    }
    await first.stop()
    for (const kafkaOffset of [2n, 3n, 4n])
      rig.cluster.corruptValue(output, kafkaOffset, () => Buffer.from('x'))
    const second = rig.start('two')
    await rig.clock.until(() => second.meter.groups === 3)
    await second.stop()
  })
})

describe('a bad record', () => {
  const damage = (value: Buffer): Buffer => {
    value[value.length - 1] = (value.at(-1) ?? 0) ^ 1
    return value
  }

  test('of a schema from the future halts its partition, visibly, until it can be read; the others go on', async () => {
    const rig = new Rig({ partitions: 2 })
    const [vda, vdb] = [modelDisk('vda'), modelDisk('vdb')]
    const member = rig.start('one')
    await rig.send([writeGroup(vda, 0, 1)])
    let original = Buffer.alloc(0)
    rig.cluster.corruptValue(input, 0n, (value) => {
      original = Buffer.from(value)
      value[2] = (value[2] ?? 0) ^ 1
      return value
    })
    await rig.clock.pass(60_000)
    await rig.send([writeGroup(vdb, 0, 2)], 1)
    await rig.clock.until(() => isDrained(rig, [vdb], 1))
    const [halted, running] = member.aggregator.status.partitions
    expect(halted).toMatchObject({ state: 'HALTED', code: 'UNKNOWN_SCHEMA', inputOffset: 0n })
    expect(halted?.nextCommand).toMatch(/Upgrade/)
    expect(running?.state).toBe('RUNNING')
    expect(rig.log.filter(({ event }) => event === 'partition-halted')).toHaveLength(1)
    rig.cluster.corruptValue(input, 0n, () => original)
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(member.aggregator.status.partitions[0]?.state).toBe('RUNNING')
    await member.stop()
  })

  test('that is damaged halts its partition while it is read again, then only its own disk shows a gap', async () => {
    const rig = new Rig()
    const [vda, vdb] = [modelDisk('vda'), modelDisk('vdb')]
    const member = rig.start('one')
    await rig.send([
      writeGroup(vda, 0, 1),
      writeGroup(vdb, 0, 2),
      writeGroup(vda, 8, 3),
      writeGroup(vda, 16, 4),
    ])
    rig.cluster.corruptValue(input, 2n, damage)
    await rig.clock.pass(500)
    expect(member.aggregator.status.partitions[0]).toMatchObject({ state: 'HALTED', code: 'PAYLOAD_CRC' })
    await rig.clock.until(() => isDrained(rig, [vda, vdb]))
    expect(member.meter.passedOver).toEqual(['PAYLOAD_CRC'])
    expect(rig.log).toContainEqual({ event: 'record-passed-over', code: 'RECORD_PASSED_OVER' })
    expect(member.aggregator.status.partitions[0]).toMatchObject({ state: 'RUNNING', passedOver: 1 })
    expect(rig.sets().map(({ diskId, firstSequence }) => `${diskId}/${firstSequence}`)).toContain('vda/3')
    await rig.send([vda.group(1, { first: 2, last: 3, resend: true })])
    await rig.clock.pass(200)
    const applier = new ModelApplier()
    for (const set of rig.sets()) applier.take(set)
    expect(applier.halts).toMatchObject([{ code: 'GAP' }])
    expect(applier.images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    expect(applier.images.get('vdb')?.bytes.bytes).toEqual(vdb.source.bytes)
    await member.stop()
  })
})

describe('limits and trouble', () => {
  test('at the folding budget the largest window closes, and nothing is read while Kafka takes nothing', async () => {
    const foldingBytesMax = 2 * MiB
    const rig = new Rig({
      aggregator: { foldingBytesMax, windowAgeMsMax: 60_000, fetchBytesMax: 512 * 1024 },
    })
    const disks = [bigDisk('vda'), bigDisk('vdb')]
    const member = rig.start('one')
    await rig.clock.pass(50)
    for (let round = 0; round < 40; round += 1) {
      rig.cluster.failNextProduce(output, 'requestLost')
      for (const disk of disks) await rig.send([bigWrite(disk, round)])
    }
    let heldMax = 0
    for (let round = 0; round < 200; round += 1) {
      await rig.clock.pass(50)
      heldMax = Math.max(heldMax, member.aggregator.status.heldBytes)
    }
    expect(heldMax).toBeGreaterThan(foldingBytesMax / 2)
    expect(heldMax).toBeLessThan(foldingBytesMax + 2 * MiB)
    expect(member.meter.closedBy['budget']).toBeGreaterThan(0)
    expect(member.aggregator.status.partitions[0]).toMatchObject({ state: 'BLOCKED', code: 'KAFKA_TIMEOUT' })
    await rig.clock.until(() => isDrained(rig, disks), { deadlineMs: 1_000_000, stepMs: 10_000 })
    expect(member.aggregator.status.heldBytes).toBe(0)
    await member.stop()
  })

  test('a lost acknowledgement costs a duplicate and nothing else', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const member = rig.start('one')
    rig.cluster.failNextProduce(output, 'acknowledgementLost')
    rig.cluster.failNextProduce(output, 'acknowledgementLostThenRetried')
    for (let round = 1; round < 6; round += 1) {
      await rig.send([writeGroup(vda, round, round)])
      await rig.clock.pass(30)
    }
    await rig.clock.until(() => isDrained(rig, [vda]))
    await rig.clock.pass(1000)
    const applier = checkOutput(rig)
    expect(applier.halts).toEqual([])
    expect(applier.images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    await member.stop()
  })

  test('Kafka away is shown and outlasted', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    rig.cluster.setAvailable(false)
    const member = rig.start('one')
    await rig.clock.pass(5000)
    expect(member.aggregator.status.code).toBe('KAFKA_UNREACHABLE')
    rig.cluster.setAvailable(true)
    await rig.send([writeGroup(vda, 0, 1)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    rig.cluster.setAvailable(false)
    await rig.clock.pass(5000)
    expect(member.aggregator.status.partitions[0]?.state).toBe('BLOCKED')
    rig.cluster.setAvailable(true)
    await rig.send([writeGroup(vda, 0, 2)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(member.aggregator.status.partitions[0]?.state).toBe('RUNNING')
    await member.stop()
  })

  test('a client that cannot go on is replaced by a new one, which resumes from the output', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const member = rig.start('one')
    await rig.send([writeGroup(vda, 0, 1)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    await rig.cluster.crashClient('one')
    await rig.send([writeGroup(vda, 0, 2)])
    await rig.clock.until(() => isDrained(rig, [vda]))
    expect(rig.log.some(({ event }) => event === 'session-ended')).toBe(true)
    expect(checkOutput(rig).images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    await member.stop()
  })
})

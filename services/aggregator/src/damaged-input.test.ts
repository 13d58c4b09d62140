import { describe, expect, test } from 'vitest'
import { checkOutput, isDrained } from '../testing/check-output.ts'
import { modelDisk, ModelApplier, Rig, writeGroup } from '../testing/rig.ts'

const output = { topic: 'updates', kafkaPartition: 0 }
const input = { topic: 'writes', kafkaPartition: 0 }

describe('a batch of the input that is damaged where it is stored', () => {
  test('is read again, then left behind: what it held is a gap, and its re-send heals it', async () => {
    const rig = new Rig()
    const [vda, vdb] = [modelDisk('vda'), modelDisk('vdb')]
    const member = rig.start('one')
    await rig.send([writeGroup(vda, 0, 1), writeGroup(vdb, 0, 2)])
    await rig.send([writeGroup(vda, 8, 3)])
    rig.cluster.damageBatch(input, { from: 2n, to: 3n })
    await rig.clock.pass(500)
    const [halted] = member.aggregator.status.partitions
    expect(halted).toMatchObject({ state: 'HALTED', code: 'RECORD_BATCH_CORRUPT', inputOffset: 2n })
    await rig.clock.until(() => member.meter.passedOver.length > 0)
    expect(member.meter.passedOver).toEqual(['RECORD_BATCH_CORRUPT'])
    await rig.clock.pass(200)
    expect(member.aggregator.status.partitions[0]).toMatchObject({ state: 'RUNNING', passedOver: 1 })
    await rig.send([writeGroup(vda, 16, 4), writeGroup(vdb, 8, 5)])
    await rig.clock.until(() => isDrained(rig, [vda, vdb]))
    // K4: whoever resumes from here does not meet the damage again.
    expect(rig.sets().at(-1)?.resumeInputOffset).toBe(5n)
    await rig.send([vda.group(1, { first: 2, last: 3, resend: true })])
    await rig.clock.pass(200)
    const applier = new ModelApplier()
    for (const set of rig.sets()) applier.take(set)
    expect(applier.halts).toMatchObject([{ code: 'GAP' }])
    expect(applier.images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    expect(applier.images.get('vdb')?.bytes.bytes).toEqual(vdb.source.bytes)
    await member.stop()
  })

  test('of which nobody can tell where it ends is left offset by offset, without new tries at each', async () => {
    const rig = new Rig()
    const [vda, vdb] = [modelDisk('vda'), modelDisk('vdb')]
    const member = rig.start('one')
    for (let at = 0n; at < 20n; at += 1n) {
      await rig.send([writeGroup(vda, 0, 1)])
      rig.cluster.damageBatch(input, { from: at, to: at + 1n })
    }
    await rig.send([writeGroup(vdb, 0, 2)])
    await rig.clock.until(() => isDrained(rig, [vdb]))
    expect(member.meter.passedOver).toHaveLength(20)
    expect(rig.log.filter(({ event }) => event === 'partition-halted')).toHaveLength(1)
    await member.stop()
  })

  test('and one at the tail of the output do not keep a new member from finding its place (K4)', async () => {
    const rig = new Rig()
    const vda = modelDisk('vda')
    const first = rig.start('one')
    for (let round = 1; round <= 3; round += 1) {
      await rig.send([writeGroup(vda, round, round)])
      await rig.clock.until(() => isDrained(rig, [vda]))
    }
    await first.stop()
    rig.cluster.damageBatch(output, { from: 2n, to: 3n })
    const second = rig.start('two')
    await rig.send([writeGroup(vda, 8, 8)])
    await rig.clock.until(() => rig.sets().at(-1)?.lastSequence === 4)
    expect(second.aggregator.status.partitions[0]?.state).toBe('RUNNING')
    expect(checkOutput(rig).images.get('vda')?.bytes.bytes).toEqual(vda.source.bytes)
    await second.stop()
  })
})

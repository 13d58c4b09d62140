import { KiB } from '@blockferry/runtime'
import { topicNames } from '@blockferry/replication-log'
import { describe, expect, test } from 'vitest'
import { AgentBench } from '../testing/agent-bench.ts'
import { pattern } from '../testing/disk-bench.ts'
import { writeSome } from '../testing/shipping-bench.ts'

const seeds = Array.from(
  { length: process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 200 : 12 },
  (_, at) => at + 1,
)

/** A disk in AHEAD whose spool filled while Kafka was away. */
async function fullSpool(seed: number): Promise<AgentBench> {
  const bench = new AgentBench(seed, { diskIds: ['vda'], spoolBytesMax: 4 * 512 * KiB })
  await bench.start()
  await bench.untilStreaming('vda')
  await bench.untilShipped('vda')
  bench.cluster.setAvailable(false)
  const { path } = bench.disk('vda')
  for (let tag = 1; bench.disk('vda').status().state !== 'AHEAD'; tag += 1) {
    const data = pattern(64 * KiB, tag)
    await bench.world.settle(path.change({ kind: 'write', byteOffset: 0, data }, { fua: false }))
  }
  return bench
}

/** Flips a bit in the nth segment of the spool, in the middle of what was written to it. */
async function rot(bench: AgentBench, nth: number): Promise<void> {
  const { spool } = bench.media('vda')
  const names = (await spool.open().list()).toSorted()
  spool.mediumOf(names.at(nth) ?? expect.fail('no such segment')).flipBit(100 * KiB, 3)
}

/** Streams again, all of it shipped; a disk that does not come back shall not take a minute to say so. */
async function healed(bench: AgentBench): Promise<void> {
  const isStreaming = () => bench.disk('vda').status().state === 'STREAMING'
  await bench.world.until(isStreaming, 'STREAMING', 10_000)
  await bench.untilShipped('vda')
}

describe('a frame that rotted in a full spool', () => {
  test.each([
    ['the first segment', 0],
    ['a middle one', 1],
    ['the last one', -1],
  ])('in %s: the disk resyncs once Kafka is back, in one new generation', async (_where, nth) => {
    const bench = await fullSpool(1)
    await rot(bench, nth)
    bench.cluster.setAvailable(true)
    await healed(bench)
    expect(bench.disk('vda').status().position?.generation).toBe(2)
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test.each(seeds)('is left behind for good, whatever Kafka refuses afterwards (seed %i)', async (seed) => {
    const bench = await fullSpool(seed)
    await rot(bench, seed % 4)
    bench.cluster.setAvailable(true)
    for (let round = 0; round < 4; round += 1) {
      for (const kafkaPartition of [0, 1]) {
        bench.cluster.failNextProduce({ topic: topicNames.writes, kafkaPartition }, 'requestLost')
      }
      await bench.world.run(bench.world.random.below(400))
    }
    await healed(bench)
    await writeSome(bench, 'vda', 10)
    await bench.untilShipped('vda')
    expect(bench.disk('vda').status().position?.generation).toBe(2)
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })

  test('is left behind by an agent that was killed, too', async () => {
    const bench = await fullSpool(3)
    await rot(bench, 1)
    await bench.kill()
    bench.cluster.setAvailable(true)
    await bench.start()
    await healed(bench)
    await bench.kill()
    await bench.start()
    await healed(bench)
    expect(bench.disk('vda').status().position?.generation).toBe(2)
    expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
  })
})

test('what follows a frame that rotted is not sent: its generation has a hole there', async () => {
  const bench = new AgentBench(5, { diskIds: ['vda'] })
  await bench.start()
  await bench.untilStreaming('vda')
  await bench.untilShipped('vda')
  await bench.world.settle(bench.world.clock(bench.life).sleep(3_000))
  bench.cluster.setAvailable(false)
  // More than the shipper can have read by now, for it stands at its first batch.
  await writeSome(bench, 'vda', 60)
  const before = bench.disk('vda').status().position?.sequence ?? 0
  await rot(bench, -1)
  bench.cluster.setAvailable(true)
  await writeSome(bench, 'vda', 30)
  await healed(bench)
  const ofFirst = bench.groups('vda').filter(({ generation }) => generation.number === 1)
  const last = Math.max(...ofFirst.map(({ events, firstSequence }) => firstSequence + events.length - 1))
  expect(last).toBeLessThan(before)
  expect(bench.disk('vda').status().position?.generation).toBe(2)
  expect(bench.replay('vda').image.equals(bench.source('vda'))).toBe(true)
})

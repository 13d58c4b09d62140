import { LabClient, readCounter, readLag, waitForDrained } from '@blockferry/cli'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith, requireKafka } from '../support/requirements.ts'
import { runKillRound, type KillPlan } from '../support/kill-rounds.ts'

/*
 * kill -9 of every process of both sites, under 4 KiB random writes to three disks, two of them a
 * consistency group (G2, G3, G6; design section 10). One lab lives through all of it.
 */

const rounds = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 10 : 3

const plans: readonly { readonly title: string; readonly plan: (round: number) => KillPlan }[] = [
  { title: 'the aggregator', plan: () => ({ process: 'aggregator', signal: 'SIGKILL', guestRetries: true }) },
  { title: 'MirrorMaker', plan: () => ({ process: 'mirror', signal: 'SIGKILL', guestRetries: true }) },
  { title: 'the applier', plan: () => ({ process: 'applier', signal: 'SIGKILL', guestRetries: true }) },
  {
    title: 'the tap, with guests that retry',
    plan: () => ({ process: 'tap-agent', signal: 'SIGKILL', guestRetries: true }),
  },
  {
    title: 'the tap, with guests that do not retry',
    plan: () => ({ process: 'tap-agent', signal: 'SIGKILL', guestRetries: false }),
  },
  {
    title: 'Kafka A, killed and stopped in turn',
    plan: (round) => ({ process: 'kafka-a', signal: alternate(round), guestRetries: true }),
  },
  {
    title: 'Kafka B, killed and stopped in turn',
    plan: (round) => ({ process: 'kafka-b', signal: alternate(round), guestRetries: true }),
  },
]

function alternate(round: number): NodeJS.Signals {
  return round % 2 === 0 ? 'SIGKILL' : 'SIGTERM'
}

describeWith([requireKafka], `kill -9 under load, ${rounds} rounds each`, () => {
  let lab: LabClient

  beforeAll(async () => {
    const disks = ['id=vda,size=192M', 'id=db1,size=64M,group=db', 'id=db2,size=64M,group=db']
    lab = await LabClient.start({ disks })
    await waitForDrained(lab)
  })

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]()
  })

  for (const { title, plan } of plans) {
    test(`after ${title}: drained images are equal, no recovery point is missing, nothing is resynced`, async () => {
      for (let round = 0; round < rounds; round += 1) await runKillRound(lab, plan(round))
    })
  }

  test('what the kills made arrive twice was dropped and counted', async () => {
    const dropped = await Promise.all([
      readCounter(lab.url('aggregator'), 'blockferry_aggregator_duplicate_events_total'),
      readCounter(lab.url('applier'), 'blockferry_applier_duplicates_dropped_total'),
    ])
    expect(Math.max(...dropped)).toBeGreaterThan(0)
    const states = (await readLag(lab)).map((sample) => sample.state)
    expect(states).toEqual(['CONSISTENT', 'CONSISTENT', 'CONSISTENT'])
  })
})

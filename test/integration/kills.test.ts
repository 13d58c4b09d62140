import { LabClient, readCounter, readLag, waitForDrained } from '@blockferry/cli'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { describeWith, requireKafka } from '../support/requirements.ts'
import { runKillRound, type KillPlan } from '../support/kill-rounds.ts'

/*
 * kill -9 of every process of both sites, under 4 KiB random writes to three disks, two of them a
 * consistency group (G2, G3, G6; design section 10). One lab lives through all of it.
 */

const rounds = process.env['BLOCKFERRY_TEST_COUNTS'] === 'long' ? 10 : 3

/** Who drops what arrives twice, and counts it. */
const duplicateCounters = {
  aggregator: 'blockferry_aggregator_duplicate_events_total',
  applier: 'blockferry_applier_duplicates_dropped_total',
} as const
type Counting = keyof typeof duplicateCounters

interface Kind {
  readonly title: string
  readonly plan: (round: number) => KillPlan
  /** Who is certain to see something twice after such kills: what the dead one had sent but not noted down. */
  readonly repeatsAt: Counting | null
}

const kinds: readonly Kind[] = [
  {
    title: 'the aggregator',
    plan: () => ({ process: 'aggregator', signal: 'SIGKILL', guestRetries: true }),
    // It resumes from what its output holds, often to the very record.
    repeatsAt: null,
  },
  {
    title: 'MirrorMaker',
    plan: () => ({ process: 'mirror', signal: 'SIGKILL', guestRetries: true }),
    // It notes its offsets once a second.
    repeatsAt: 'applier',
  },
  {
    title: 'the applier',
    plan: () => ({ process: 'applier', signal: 'SIGKILL', guestRetries: true }),
    // Its place in Kafka is as old as its checkpoint, its journal is newer.
    repeatsAt: 'applier',
  },
  {
    title: 'the tap, with guests that retry',
    plan: () => ({ process: 'tap-agent', signal: 'SIGKILL', guestRetries: true }),
    // What it has shipped is noted down once a second.
    repeatsAt: 'aggregator',
  },
  {
    title: 'the tap, with guests that do not retry',
    plan: () => ({ process: 'tap-agent', signal: 'SIGKILL', guestRetries: false }),
    repeatsAt: 'aggregator',
  },
  {
    title: 'Kafka A, killed and stopped in turn',
    plan: (round) => ({ process: 'kafka-a', signal: alternate(round), guestRetries: true }),
    repeatsAt: null,
  },
  {
    title: 'Kafka B, killed and stopped in turn',
    plan: (round) => ({ process: 'kafka-b', signal: alternate(round), guestRetries: true }),
    repeatsAt: null,
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

  for (const { plan, repeatsAt, title } of kinds) {
    const dropped = repeatsAt === null ? '' : `; the ${repeatsAt} dropped what came twice, and counted it`
    test(`after ${title}: drained images are equal, no recovery point is missing, nothing is resynced${dropped}`, async () => {
      let duplicates = 0
      for (let round = 0; round < rounds; round += 1) {
        // A successor counts from zero.
        const isVictim = repeatsAt === plan(round).process
        const before = isVictim ? 0 : await countedBy(repeatsAt)
        await runKillRound(lab, plan(round))
        duplicates += (await countedBy(repeatsAt)) - before
      }
      if (repeatsAt !== null) expect(duplicates).toBeGreaterThan(0)
    })
  }

  test('after all of it every disk is CONSISTENT', async () => {
    const states = (await readLag(lab)).map((sample) => sample.state)
    expect(states).toEqual(['CONSISTENT', 'CONSISTENT', 'CONSISTENT'])
  })

  async function countedBy(counting: Counting | null): Promise<number> {
    return counting === null ? 0 : readCounter(lab.url(counting), duplicateCounters[counting])
  }
})

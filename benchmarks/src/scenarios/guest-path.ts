import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandomImage, type BenchLab } from '../bench-lab.ts'
import { type Figure, median, ratioFigures, type Report } from '../figure.ts'
import { fioRandomWrites, type FioResult } from '../fio.ts'
import { startNbdkitFile } from '../peers/nbdkit-file.ts'
import { missingTool, type Peer } from '../peers/peer.ts'
import { startQemuMirror } from '../peers/qemu-mirror.ts'

interface Contest {
  readonly title: string
  readonly tool: string
  readonly startPeer: (directory: string) => Promise<Peer>
  /** Runs a load on our side, under this contest's conditions. */
  readonly ours: (load: () => Promise<FioResult>) => Promise<FioResult>
}

const depth = 16

/** 4 KiB random writes at depth 16 through the tap against two peers, in alternating runs on one machine. */
export async function measureGuestPath(
  lab: BenchLab,
  options: { report: Report; seconds: number; rounds: number },
): Promise<void> {
  const contests: readonly Contest[] = [
    {
      title: 'whole lab running, against QEMU background mirror',
      tool: 'qemu-storage-daemon',
      startPeer: async (directory) => {
        const images = { imagePath: join(directory, 'peer.raw'), mirrorPath: join(directory, 'mirror.raw') }
        await createRandomImage(images.imagePath)
        await createRandomImage(images.mirrorPath)
        return startQemuMirror({ directory, ...images })
      },
      ours: (load) => lab.whileConsistent(load),
    },
    {
      title: 'only Kafka A behind it, against nbdkit file',
      tool: 'nbdkit',
      startPeer: async (directory) => {
        const imagePath = join(directory, 'peer.raw')
        await createRandomImage(imagePath)
        return startNbdkitFile({ directory, imagePath })
      },
      ours: (load) =>
        lab.whileStreaming(() => lab.whileStopped(['aggregator', 'mirror', 'kafka-b', 'applier'], load)),
    },
  ]
  for (const contest of contests) await runContest(contest, { lab, ...options })
}

async function runContest(
  contest: Contest,
  context: { lab: BenchLab; report: Report; seconds: number; rounds: number },
): Promise<void> {
  const { lab, report, seconds, rounds } = context
  const name = `4 KiB random writes QD16, ${contest.title}`
  const reason = missingTool('fio') ?? missingTool(contest.tool)
  if (reason !== null) {
    report.skipped.push({ name, reason })
    return
  }
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-peer-'))
  try {
    const pairs: { ours: FioResult; theirs: FioResult }[] = []
    for (let round = 0; round < rounds; round += 1) {
      pairs.push(
        await runPair(contest, { lab, seconds, directory: await mkdtemp(join(directory, 'round-')) }),
      )
    }
    report.figures.push(...contestFigures({ name, pairs, seconds }))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function runPair(
  contest: Contest,
  context: { lab: BenchLab; seconds: number; directory: string },
): Promise<{ ours: FioResult; theirs: FioResult }> {
  const { lab, seconds, directory } = context
  const load = { blockBytes: 4096, depth, seconds }
  await lab.drained(300_000)
  const ours = await contest.ours(() => fioRandomWrites({ ...load, uri: lab.uri }))
  // The peer gets a machine that is as idle as ours found it.
  await lab.whileConsistent(() => lab.drained(300_000))
  await using peer = await contest.startPeer(directory)
  const theirs = await fioRandomWrites({ ...load, uri: peer.uri })
  return { ours, theirs }
}

/** Figures are medians over rounds; latencies have rows of their own. */
export function contestFigures(contest: {
  name: string
  pairs: readonly { ours: FioResult; theirs: FioResult }[]
  seconds: number
}): readonly Figure[] {
  const { name, pairs, seconds } = contest
  const rounds = pairs.map(({ ours, theirs }) => ({ ours: ours.iops, theirs: theirs.iops }))
  const names = { ratio: 'ratio of IOPS', rate: 'rate', sides: { ours: 'ours', theirs: 'peer' } }
  const latency = (field: 'p50Ms' | 'p99Ms'): readonly Figure[] =>
    (['ours', 'theirs'] as const).map((side) => ({
      name: `${name}: ${field === 'p50Ms' ? 'p50' : 'p99'} latency, ${names.sides[side]}`,
      value: median(pairs.map((pair) => pair[side][field])),
      unit: 'ms',
    }))
  return [
    ...ratioFigures({ ...names, name, unit: 'IOPS', rounds, seconds, aimMin: 1 }),
    ...latency('p50Ms'),
    ...latency('p99Ms'),
  ]
}

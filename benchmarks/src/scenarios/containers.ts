import { spawnSync } from 'node:child_process'
import { KiB, MiB } from '@blockferry/runtime'
import { BenchLab } from '../bench-lab.ts'
import { ContainerLab } from '../container-lab.ts'
import { type Figure, ratioFigures, type Report } from '../figure.ts'
import { fioRandomWrites } from '../fio.ts'
import { freePorts } from '../../../test/support/kafka-broker.ts'
import { missingTool } from '../peers/peer.ts'
import { MemorySampler } from '../process-memory.ts'
import type { WatchedLab } from '../watched-lab.ts'
import { writtenUntilReceived } from './throughput.ts'

interface Side {
  readonly lab: WatchedLab
  /** Over TCP on both sides: a published port of a container has no other way in. */
  readonly uri: string
}

interface Load {
  readonly name: string
  readonly unit: string
  /** Runs it; its rate, in `unit`. */
  readonly run: (side: Side) => Promise<number>
}

const depth = 16
const names = {
  ratio: 'containers against bare processes',
  rate: 'rate',
  sides: { ours: 'containers', theirs: 'bare' },
}

/**
 * deploy/compose against the bare processes of `npm start`, both up, each loaded in turn while the other idles;
 * and the memory of what is in the containers under those loads.
 */
export async function measureContainers(options: {
  readonly report: Report
  readonly seconds: number
  readonly rounds: number
}): Promise<void> {
  const { report, rounds, seconds } = options
  const name = 'containers against bare processes'
  const reason = missingTool('fio') ?? missingTool('nbdcopy') ?? missingEngine()
  if (reason !== null) {
    report.skipped.push({ name, reason })
    return
  }
  await using containers = await ContainerLab.start()
  const [port = 0] = await freePorts(1)
  await using bare = await BenchLab.start(['--nbd-listen', `127.0.0.1:${port}`])
  const bareSide: Side = { lab: bare, uri: `nbd://127.0.0.1:${port}/vda` }
  const containerSide: Side = { lab: containers, uri: containers.uri }
  const pids = await containers.pids()
  using sampler = new MemorySampler(() => pids)
  for (const load of loads(seconds)) {
    const measured: { ours: number; theirs: number }[] = []
    for (let round = 0; round < rounds; round += 1) {
      const theirs = await runAlone(load, bareSide)
      measured.push({ ours: await runAlone(load, containerSide), theirs })
    }
    report.figures.push(...ratioFigures({ ...names, ...load, rounds: measured, seconds, aimMin: 0.9 }))
  }
  report.figures.push(...memoryFigures(sampler, Object.keys(pids)))
}

/** Both sides start drained, and each is again when its turn is over: the other does not measure its rest. */
async function runAlone(load: Load, side: Side): Promise<number> {
  const rate = await load.run(side)
  await side.lab.drained(300_000)
  return rate
}

function loads(seconds: number): readonly Load[] {
  const smallWrites = async ({ lab, uri }: Side) => {
    const load = { uri, blockBytes: 4 * KiB, depth, seconds }
    return (await lab.whileConsistent(() => fioRandomWrites(load))).iops
  }
  const largeWrites = async ({ lab, uri }: Side) => {
    const load = { uri, blockBytes: 64 * KiB, depth, seconds }
    return (await writtenUntilReceived(lab, load)).bytesPerSecond / MiB
  }
  return [
    { name: '4 KiB random writes QD16 over TCP', unit: 'IOPS', run: smallWrites },
    { name: '64 KiB writes over TCP, end to end', unit: 'MiB/s', run: largeWrites },
  ]
}

function memoryFigures(sampler: MemorySampler, names: readonly string[]): readonly Figure[] {
  return names.map((name) => {
    return { name: `peak RSS in container: ${name}`, value: sampler.peakBytes(name) / 1e6, unit: 'MB' }
  })
}

function missingEngine(): string | null {
  const { status } = spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 20_000 })
  return status === 0 ? null : 'no Docker engine answers'
}

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface FioLoad {
  /** Of the export: nbd+unix:///NAME?socket=PATH or nbd://HOST:PORT/NAME. */
  readonly uri: string
  readonly blockBytes: number
  readonly depth: number
  readonly seconds: number
  /** Paces the load; unlimited when absent. */
  readonly bytesPerSecond?: number
  /** Stops after this many bytes even when time is left. */
  readonly bytesMax?: number
}

export interface FioResult {
  readonly iops: number
  readonly bytesPerSecond: number
  readonly bytes: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

interface FioJson {
  readonly jobs: readonly {
    readonly error: number
    readonly write: {
      readonly iops: number
      readonly bw_bytes: number
      readonly io_bytes: number
      readonly runtime: number
      readonly clat_ns: { readonly percentile: Readonly<Record<string, number>> }
    }
  }[]
}

/** Random writes by fio's own NBD engine: one client, the same for every server. Throws when fio reports an error. */
export async function fioRandomWrites(load: FioLoad): Promise<FioResult> {
  const directory = await mkdtemp(join(tmpdir(), 'blockferry-fio-'))
  const output = join(directory, 'fio.json')
  const args = [
    '--name=load',
    '--ioengine=nbd',
    `--uri=${load.uri}`,
    '--rw=randwrite',
    `--bs=${load.blockBytes}`,
    `--iodepth=${load.depth}`,
    '--time_based',
    `--runtime=${load.seconds}`,
    // Without it fio repeats one buffer, and every compressor behind it looks brilliant.
    '--refill_buffers',
    '--norandommap',
    '--randrepeat=0',
    '--output-format=json',
    `--output=${output}`,
  ]
  if (load.bytesPerSecond !== undefined) args.push(`--rate=${load.bytesPerSecond}`, '--rate_process=poisson')
  if (load.bytesMax !== undefined) args.push(`--io_size=${load.bytesMax}`)
  try {
    await run('fio', args, { cwd: directory, timeout: (load.seconds + 60) * 1000 })
    return parse(await readFile(output, 'utf8'))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function parse(text: string): FioResult {
  // fio may put warnings before the JSON document.
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as FioJson
  const job = jobs[0]
  if (job === undefined || job.error !== 0)
    throw new Error(`fio reported error ${job?.error ?? 'without a job'}`)
  const { write } = job
  const percentile = (name: string) => (write.clat_ns.percentile[name] ?? Number.NaN) / 1e6
  return {
    iops: write.iops,
    bytesPerSecond: write.bw_bytes,
    bytes: write.io_bytes,
    seconds: write.runtime / 1000,
    p50Ms: percentile('50.000000'),
    p99Ms: percentile('99.000000'),
  }
}

import { resolve } from 'node:path'
import { type KafkaClientName, kafkaClientNames } from '@blockferry/replication-log'
import { type Address, parseAddress, parseByteSize } from '@blockferry/runtime/service'
import { UsageFault } from '../exit-status.ts'
import { type DiskOption, faultsBetweenDisks, parseDiskOption } from './disk-option.ts'

/** `start`, as typed. */
export interface RawLabOptions {
  readonly dir: string
  readonly disk: readonly string[]
  readonly nbdListen?: string
  readonly wanBytesPerSecond?: string
  readonly kafkaClient?: string
  readonly json: boolean
}

export interface LabOptions {
  /** Absolute. */
  readonly directory: string
  readonly disks: readonly DiskOption[]
  /** Where disks are served over TCP besides the unix socket; null: not. */
  readonly nbdListen: Address | null
  readonly wanBytesPerSecond: number | null
  /** Of the services; null: their default. */
  readonly kafkaClient: KafkaClientName | null
  readonly json: boolean
}

/** @throws UsageFault (USAGE) with every fault of the command line. */
export function parseLabOptions(raw: RawLabOptions, cwd: string): LabOptions {
  const faults: string[] = []
  const disks: DiskOption[] = []
  for (const text of raw.disk) {
    const result = parseDiskOption(text)
    if (result.ok) disks.push(withAbsolutePaths(result.disk, cwd))
    else faults.push(...result.faults)
  }
  if (raw.disk.length === 0) faults.push('--disk is missing; expected at least one, like id=vda,size=1G')
  faults.push(...faultsBetweenDisks(disks))
  const nbdListen = raw.nbdListen === undefined ? null : parseAddress(raw.nbdListen)
  if (raw.nbdListen !== undefined && nbdListen === null) {
    faults.push(`--nbd-listen is "${raw.nbdListen}"; expected HOST:PORT`)
  }
  const wanBytesPerSecond = readCapacity(raw.wanBytesPerSecond, faults)
  const kafkaClient = readKafkaClient(raw.kafkaClient, faults)
  if (faults.length > 0) throw new UsageFault('start', faults)
  const directory = resolve(cwd, raw.dir)
  return { directory, disks, nbdListen, wanBytesPerSecond, kafkaClient, json: raw.json }
}

function withAbsolutePaths(disk: DiskOption, cwd: string): DiskOption {
  const absolute = (path: string | null) => (path === null ? null : resolve(cwd, path))
  return { ...disk, source: absolute(disk.source), target: absolute(disk.target) }
}

function readCapacity(text: string | undefined, faults: string[]): number | null {
  if (text === undefined) return null
  const bytes = parseByteSize(text)
  if (bytes !== null && bytes >= 1024) return bytes
  faults.push(`--wan-bytes-per-second is "${text}"; expected bytes per second, at least 1024 (1M, 10M …)`)
  return null
}

function readKafkaClient(text: string | undefined, faults: string[]): KafkaClientName | null {
  if (text === undefined) return null
  const name = kafkaClientNames.find((known) => known === text)
  if (name !== undefined) return name
  faults.push(`--kafka-client is "${text}"; expected ${kafkaClientNames.join(' or ')}`)
  return null
}

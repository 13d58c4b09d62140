import { formatByteSize } from '@blockferry/runtime/service'
import type { FlowReport } from '@blockferry/supervision'
import type { Command } from 'commander'
import { exitStatus } from '../exit-status.ts'
import { isUnhealthy } from '../lag-sample.ts'
import { namedServiceUrl, type PlaceOptions, readLab, serviceUrl, withPlace } from '../service-address.ts'
import { getJson } from '../service-client.ts'
import { formatTable } from '../table.ts'

interface DisksOptions extends PlaceOptions {
  readonly json: boolean
}

/** What this command shows of a disk; each service says more. */
interface Disk {
  readonly diskId: string
  readonly state: string
  readonly code?: string | null
  readonly sizeBytes?: number | null
  readonly groupId?: string | null
}

/** `blockferry disks`: each disk at its source and at its target, and the mirror between them. */
export function registerDisks(program: Command): void {
  withPlace(program.command('disks'))
    .description('Lists the disks, at the source and at the target, and the mirror between the sites.')
    .option('--json', 'as JSON', false)
    .action(run)
}

async function run(options: DisksOptions): Promise<void> {
  const source = await listDisks(serviceUrl('tap-agent', options))
  const target = await listDisks(serviceUrl('applier', options))
  const flows = await mirrorFlows(options)
  const unhealthy =
    target.some(({ state }) => isUnhealthy({ state, source: null })) ||
    source.some(({ state }) => isUnhealthy({ state: '', source: { state } })) ||
    flows.some(({ failed }) => failed.length > 0)
  if (options.json) process.stdout.write(`${JSON.stringify({ source, target, mirror: flows })}\n`)
  else process.stdout.write(diskTable(source, target) + mirrorLines(flows))
  if (unhealthy) process.exitCode = exitStatus.unhealthy
}

async function listDisks(base: string): Promise<readonly Disk[]> {
  return ((await getJson(`${base}/v1/disks`)) as { readonly disks: readonly Disk[] }).disks
}

/** From the mirror-maker that is named, else from the `start` that runs both sites; elsewhere nobody knows. */
async function mirrorFlows(options: DisksOptions): Promise<readonly FlowReport[]> {
  const named = namedServiceUrl('mirror-maker', options)
  if (named !== null) {
    return ((await getJson(`${named}/v1/flows`)) as { readonly flows: readonly FlowReport[] }).flows
  }
  if (namedServiceUrl('applier', options) !== null) return []
  const { http } = readLab(options).supervisor
  return ((await getJson(`${http}/v1/mirror`)) as { readonly flows: readonly FlowReport[] }).flows
}

function diskTable(source: readonly Disk[], target: readonly Disk[]): string {
  const ids = [...new Set([...source, ...target].map(({ diskId }) => diskId))].toSorted()
  if (ids.length === 0) return 'no disks\n'
  const rows = ids.map((id) => {
    const here = source.find(({ diskId }) => diskId === id)
    const there = target.find(({ diskId }) => diskId === id)
    const sizeBytes = here?.sizeBytes ?? there?.sizeBytes
    return [
      id,
      sizeBytes === undefined || sizeBytes === null ? '–' : formatByteSize(sizeBytes),
      here?.groupId ?? there?.groupId ?? '–',
      stateText(here),
      stateText(there),
    ]
  })
  return formatTable(['DISK', 'SIZE', 'GROUP', 'SOURCE', 'TARGET'], rows)
}

function stateText(disk: Disk | undefined): string {
  if (disk === undefined) return '–'
  return disk.code === undefined || disk.code === null ? disk.state : `${disk.state} (${disk.code})`
}

function mirrorLines(flows: readonly FlowReport[]): string {
  return flows
    .map(({ failed, flow, running, topics, trouble }) => {
      const known = topics.filter(({ recordsBehind }) => recordsBehind !== null && recordsBehind > 0)
      const behind = known.map(({ recordsBehind, topic }) => `${topic} ${recordsBehind} records behind`)
      const state = trouble ?? (running ? 'runs' : ['does not run', ...failed].join(': '))
      return `mirror ${flow}  ${[state, ...behind].join(', ')}\n`
    })
    .join('')
}

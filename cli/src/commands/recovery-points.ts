import { type Command, Option } from 'commander'
import { UsageFault } from '../exit-status.ts'
import { type PlaceOptions, serviceUrl, withPlace } from '../service-address.ts'
import { getJson } from '../service-client.ts'
import { formatTable } from '../table.ts'

interface RecoveryPointOptions extends PlaceOptions {
  readonly disk?: string
  readonly group?: string
  readonly from?: string
  readonly to?: string
  readonly limit: string
  readonly json: boolean
}

interface RecoveryPoint {
  readonly cutId: string
  readonly name: string | null
  readonly wallTime?: string
  readonly groupId: string | null
  readonly members: readonly string[]
  readonly openable?: boolean
}

interface Page {
  readonly recoveryPoints: readonly RecoveryPoint[]
  readonly nextCursor?: string | null
}

/** `blockferry recovery-points`: the cuts that the target can open. */
export function registerRecoveryPoints(program: Command): void {
  withPlace(program.command('recovery-points'))
    .description('Lists the recovery points that the target holds of a disk or a group.')
    .addOption(new Option('--disk <id>', 'of this disk').conflicts('group'))
    .option('--group <name>', 'of this group')
    .option('--from <time>', 'at or after this time (ISO 8601)')
    .option('--to <time>', 'at or before this time (ISO 8601)')
    .option('--limit <count>', 'at most this many', '1000')
    .option('--json', 'one recovery point per line as JSON', false)
    .action(run)
}

async function run(options: RecoveryPointOptions): Promise<void> {
  const limit = checkedLimit(options)
  const base = serviceUrl('applier', options)
  const points: RecoveryPoint[] = []
  let cursor: string | null = null
  do {
    const page = (await getJson(`${base}/v1/recovery-points?${query(options, cursor)}`)) as Page
    points.push(...page.recoveryPoints)
    cursor = page.nextCursor ?? null
  } while (cursor !== null && points.length < limit)
  const shown = points.slice(0, limit)
  if (options.json) for (const point of shown) process.stdout.write(`${JSON.stringify(point)}\n`)
  else process.stdout.write(shown.length === 0 ? 'no recovery points\n' : pointTable(shown))
}

function checkedLimit(options: RecoveryPointOptions): number {
  const faults: string[] = []
  const limit = /^\d+$/.test(options.limit) ? Number(options.limit) : 0
  if (limit < 1) faults.push(`--limit is "${options.limit}"; expected a count of at least 1`)
  if (options.disk === undefined && options.group === undefined) {
    faults.push('--disk and --group are missing; expected one of them')
  }
  for (const name of ['from', 'to'] as const) {
    const text = options[name]
    if (text !== undefined && Number.isNaN(Date.parse(text))) {
      faults.push(`--${name} is "${text}"; expected a time like 2026-11-22T10:00:00Z`)
    }
  }
  if (faults.length > 0) throw new UsageFault('recovery-points', faults)
  return limit
}

function query(options: RecoveryPointOptions, cursor: string | null): string {
  const parameters = new URLSearchParams()
  for (const name of ['disk', 'group', 'from', 'to'] as const) {
    const value = options[name]
    if (value !== undefined) parameters.set(name, value)
  }
  if (cursor !== null) parameters.set('cursor', cursor)
  return parameters.toString()
}

function pointTable(points: readonly RecoveryPoint[]): string {
  const rows = points.map(({ cutId, groupId, members, name, wallTime }) => [
    wallTime ?? '–',
    name ?? '',
    groupId ?? members.join(' '),
    cutId,
  ])
  return formatTable(['TIME', 'NAME', 'OF', 'CUT'], rows)
}

import type { Command } from 'commander'
import { exitStatus } from '../exit-status.ts'
import { isUnhealthy, type LagSample } from '../lag-sample.ts'
import { lagTable } from '../lag-table.ts'
import { watchLag } from '../lag-watch.ts'
import { type PlaceOptions, serviceUrl, withPlace } from '../service-address.ts'
import { getJson } from '../service-client.ts'

interface LagOptions extends PlaceOptions {
  readonly watch: boolean
  readonly json: boolean
}

/** `blockferry lag`: how far the target is behind, once or live. */
export function registerLag(program: Command): void {
  withPlace(program.command('lag'))
    .description('Shows how far the target is behind, per disk.')
    .option('--watch', 'live, until Ctrl-C', false)
    .option('--json', 'the feed’s own JSON, one message per line', false)
    .action(run)
}

async function run(options: LagOptions): Promise<void> {
  const base = serviceUrl('applier', options)
  if (options.watch) return watchLag({ base, json: options.json, out: process.stdout })
  const answer = await getJson(`${base}/v1/lag`)
  const { disks } = answer as { readonly disks: readonly LagSample[] }
  process.stdout.write(options.json ? `${JSON.stringify(answer)}\n` : lagTable(disks))
  if (disks.some(isUnhealthy)) process.exitCode = exitStatus.unhealthy
}

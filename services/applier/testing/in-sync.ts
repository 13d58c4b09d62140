import type { HeartbeatDisk } from '@blockferry/disk-stream'
import { stateOf } from '../src/disk/disk-state.ts'
import { TargetWorld } from './target-world.ts'
import type { TestSource } from './test-source.ts'

/** The applier's waits, short. */
export const healingOptions = {
  applyIntervalMs: 50,
  resendDeadlineMs: 2_000,
  resyncRepeatMs: 4_000,
  overdueMs: 1_000,
}

/** A world whose disk vda is in sync. */
export async function inSync(given: object = {}): Promise<{ world: TargetWorld; vda: TestSource }> {
  const world = new TargetWorld({ ...healingOptions, ...given })
  const vda = world.source('vda')
  vda.write(1, 1, 10)
  world.arrive(vda.fullSync())
  await world.start()
  await world.time.until(() => world.drained('vda'), 'the sync')
  return { world, vda }
}

/** State and code of the disk vda, as users see them. */
export function stateOfVda(world: TargetWorld): string {
  const { state, code } = stateOf(world.live.volume.disk('vda'))
  return code === null ? state : `${state}(${code})`
}

/** A heartbeat's line that says how the source stands. */
export function heartbeatOf(source: TestSource, given: Partial<HeartbeatDisk> = {}): HeartbeatDisk {
  return {
    diskId: source.diskId,
    state: 'STREAMING',
    code: null,
    position: source.position,
    consistentAsOfMs: 1_700_000_000_000,
    spooledEvents: 0,
    spooledBytes: 0,
    oldestSpooledAtMs: null,
    progress: null,
    ...given,
  }
}

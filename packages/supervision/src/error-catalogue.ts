import { type ErrorCatalogue, faultsOf } from '@blockferry/runtime'

/** What a supervisor can say of a child process. */
export const catalogue = {
  CHILD_NOT_STARTED: {
    summary: 'A supervised process did not come up in its time.',
    nextCommand: 'read what it wrote: DIR/logs of `start`, docker logs of a container',
  },
  CHILD_REFUSED_CONFIG: {
    summary: 'A supervised process refused its configuration.',
    nextCommand: 'read the faults it listed: DIR/logs of `start`, docker logs of a container',
  },
} as const satisfies ErrorCatalogue

/** Makes this workspace's faults. */
export const fault = faultsOf(catalogue)

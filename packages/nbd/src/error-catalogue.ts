import type { ErrorCatalogue } from '@blockferry/runtime'
import { faultsOf } from '@blockferry/runtime'

/** Faults of the NBD client. What a server tells its clients are NbdErrors: the specification's errno values. */
export const catalogue = {
  NBD_CONNECTION_LOST: {
    summary:
      'The connection to the NBD server broke while requests were outstanding or before they were sent.',
    nextCommand: 'check that the server still runs: nbdinfo --list URI',
  },
  NBD_CONNECT_FAILED: {
    summary: 'No NBD server answered at the address before the deadline.',
    nextCommand: 'nbdinfo --list URI',
  },
  NBD_EXPORT_REFUSED: {
    summary: 'The NBD server does not offer the export under this name.',
    nextCommand: 'nbdinfo --list URI shows the names it offers',
  },
  NBD_PROTOCOL_VIOLATION: {
    summary: 'The peer sent bytes that the NBD specification does not allow here.',
    nextCommand: 'check that the address is an NBD server: nbdinfo URI',
  },
} as const satisfies ErrorCatalogue

export const fault = faultsOf(catalogue)

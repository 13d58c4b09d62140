import { describeNbdBadInput } from '../support/nbd-bad-input-suite.ts'
import { describeNbdClients } from '../support/nbd-client-suite.ts'
import { startPlainServer } from '../support/nbd-plain-server.ts'

// The NBD server by itself, a raw file behind it. The same suites run against the tap.
describeNbdClients({ name: 'the NBD server', startServer: () => startPlainServer() })

const limits = { requestDeadlineMs: 1000, connectionsMax: 256 }
describeNbdBadInput({ name: 'the NBD server', startServer: () => startPlainServer({ limits }), ...limits })

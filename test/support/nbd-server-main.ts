import { parseArgs } from 'node:util'
import { createNbdServer } from '@blockferry/nbd'
import { openRawFile } from '@blockferry/storage'

import { exportDevice } from './nbd-device-export.ts'

// A child process that exports one raw file as `disk` on a unix socket: the server under test.
const { values } = parseArgs({
  options: {
    file: { type: 'string' },
    socket: { type: 'string' },
    'size-bytes': { type: 'string' },
    'read-only': { type: 'boolean', default: false },
    limits: { type: 'string', default: '{}' },
  },
})
const device = await openRawFile({
  path: values.file ?? '',
  readOnly: values['read-only'],
  ...(values['size-bytes'] === undefined ? {} : { createSizeBytes: Number(values['size-bytes']) }),
})
const disk = exportDevice('disk', device)
const server = createNbdServer({
  exports: { names: () => ['disk'], find: (name) => (name === 'disk' ? disk : undefined) },
  limits: JSON.parse(values.limits) as object,
})
await server.listen({ path: values.socket ?? '' })
process.stdout.write(`${JSON.stringify({ event: 'listening' })}\n`)
process.once('SIGTERM', () => {
  void server.close().then(() => device.close())
})

import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { connectNbdWithRetry } from '../client/connect-with-retry.ts'
import { connectNbd } from '../client/nbd-client.ts'
import { Command, Magic, Option } from '../protocol/constants.ts'
import { NbdErrno, NbdError } from '../protocol/nbd-error.ts'
import { encodeOption } from '../protocol/option-codec.ts'
import { encodeRequestHeader } from '../protocol/request-codec.ts'
import { exportsOf } from './memory-export.ts'
import { createNbdServer } from './nbd-server.ts'
import { rawHandshake, startServerFixture } from './server-fixture.ts'

test('what clients wrote, zeroed and trimmed over several connections is what they read', async () => {
  await using fixture = await startServerFixture()
  const clients = [await fixture.client(), await fixture.client()] as const
  const model = Buffer.alloc(1 << 20)
  const extent = fc.record({ byteOffset: fc.nat(900_000), byteLength: fc.integer({ min: 1, max: 100_000 }) })
  const step = fc.record({
    kind: fc.constantFrom('write', 'write', 'zero', 'trim'),
    extent,
    fill: fc.nat(255),
    by: fc.nat(1),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), extent, async (steps, { byteOffset, byteLength }) => {
      for (const { kind, extent, fill, by } of steps) {
        const client = clients[by === 0 ? 0 : 1]
        const data = Buffer.alloc(extent.byteLength, fill)
        if (kind === 'write') await client.write(extent.byteOffset, data)
        else if (kind === 'zero') await client.writeZeroes(extent)
        else await client.trim(extent)
        model.fill(kind === 'write' ? fill : 0, extent.byteOffset, extent.byteOffset + extent.byteLength)
      }
      const read = await clients[0].read(byteOffset, byteLength)
      expect(read.equals(model.subarray(byteOffset, byteOffset + byteLength))).toBe(true)
    }),
    { numRuns: 30 },
  )
  expect(fixture.vda.bytes.equals(model)).toBe(true)
  expect(fixture.server.inFlightBytes).toBe(0)
})

test('every command reaches the export with its flags, FUA above all', async () => {
  await using fixture = await startServerFixture()
  const client = await fixture.client()
  const extent = { byteOffset: 1024, byteLength: 2048 }
  await client.write(0, Buffer.alloc(10), { fua: true })
  await client.write(0, Buffer.alloc(10))
  await client.flush()
  await client.trim(extent, { fua: true })
  await client.writeZeroes(extent, { fua: true, mayUnmap: false, fast: true })
  await client.writeZeroes(extent)
  await client.cache(extent)
  const status = await client.blockStatus(extent)
  const one = await client.blockStatus(extent, { one: true })
  expect(fixture.vda.calls).toEqual([
    'write 0+10 fua',
    'write 0+10',
    'flush',
    'trim 1024+2048 fua',
    'writeZeroes 1024+2048 fua fast',
    'writeZeroes 1024+2048 mayUnmap',
    'cache 1024+2048',
    'blockStatus 1024+2048 max 4096',
    'blockStatus 1024+2048 max 1',
  ])
  expect(status.map((allocation) => allocation.kind)).toEqual(['hole', 'data'])
  expect(one).toEqual([{ byteOffset: 1024, byteLength: 1024, kind: 'hole' }])
})

test('no reply leaves before the export is done, and a later request does not wait for an earlier one (N1)', async () => {
  await using fixture = await startServerFixture()
  const client = await fixture.client()
  let letGo = (): void => undefined
  fixture.vda.hold = new Promise((resolve) => (letGo = resolve))
  const settled: string[] = []
  const note = (name: string) => () => settled.push(name)
  const held = [
    client.write(0, Buffer.from('a')).then(note('write')),
    client.flush().then(note('flush')),
    client.trim({ byteOffset: 0, byteLength: 1 }).then(note('trim')),
    client.read(0, 1).then(note('read')),
  ]
  await expect.poll(() => fixture.vda.calls.length).toBe(4)
  fixture.vda.hold = undefined
  await client.read(5, 5).then(note('later read'))
  expect(settled).toEqual(['later read'])
  letGo()
  await Promise.all(held)
  expect(settled).toHaveLength(5)
})

test('what an export throws becomes its errno, and the connection goes on', async () => {
  await using fixture = await startServerFixture()
  const client = await fixture.client()
  const cases: [Error, string][] = Object.keys(NbdErrno).map((name) => [
    new NbdError(name as 'EIO', `because ${name}`),
    name,
  ])
  cases.push([Object.assign(new Error('/secret/path'), { code: 'EDQUOT' }), 'ENOSPC'])
  cases.push([Object.assign(new Error('/secret/path'), { code: 'EROFS' }), 'EPERM'])
  cases.push([new Error('/secret/path'), 'EIO'])
  for (const [failure, errno] of cases) {
    fixture.vda.failure = failure
    await expect(client.read(0, 1)).rejects.toMatchObject({ errno })
    await expect(client.write(0, Buffer.alloc(1))).rejects.toMatchObject({ errno })
    await expect(client.flush()).rejects.not.toThrow('secret')
  }
  fixture.vda.failure = undefined
  expect(await client.read(0, 1)).toEqual(Buffer.alloc(1))
  expect(fixture.server.inFlightBytes).toBe(0)
})

test('requests the specification forbids never reach the export (N2); a long WRITE is drained, an absurd one cut', async () => {
  await using fixture = await startServerFixture({ payloadBytesMax: 8192 })
  const client = await fixture.client()
  await expect(client.read(1 << 20, 1)).rejects.toMatchObject({ errno: 'EINVAL' })
  await expect(client.write((1 << 20) - 1, Buffer.alloc(2))).rejects.toMatchObject({ errno: 'ENOSPC' })
  await expect(client.read(0, 8193)).rejects.toMatchObject({ errno: 'EOVERFLOW' })
  await expect(client.write(0, Buffer.alloc(10_000))).rejects.toMatchObject({ errno: 'EINVAL' })
  expect(await client.read(0, 0)).toEqual(Buffer.alloc(0))
  await client.write(0, Buffer.alloc(0))
  expect(fixture.vda.calls).toEqual([])
  await expect(client.write(0, Buffer.alloc(20_000))).rejects.toMatchObject({ code: 'NBD_CONNECTION_LOST' })
  expect(fixture.closedFor).toEqual(['payloadTooLong'])
})

test('a disk that hangs holds half of the budget: its sockets are not read, its neighbour is served, nothing fails (B2)', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax: 1 << 20 })
  const [hanging, neighbour] = [await fixture.client('vda'), await fixture.client('vdb')]
  let letGo = (): void => undefined
  fixture.vda.hold = new Promise((resolve) => (letGo = resolve))
  const writes = Array.from({ length: 64 }, (_, index) =>
    hanging.write(index * 8192, Buffer.alloc(65_536, index)),
  )
  await expect.poll(() => fixture.vda.calls.length).toBe(8)
  for (let count = 0; count < 20; count += 1) {
    await neighbour.write(0, Buffer.alloc(65_536, count))
    expect((await neighbour.read(0, 65_536))[0]).toBe(count)
  }
  // One more is in the lane at most.
  expect(fixture.vda.calls.length).toBeLessThanOrEqual(9)
  fixture.vda.hold = undefined
  letGo()
  await Promise.all(writes)
  await expect.poll(() => fixture.server.inFlightBytes).toBe(0)
})

test('a client that does not read its replies is bounded, then cut; its neighbour is served', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax: 4 << 20, replyDeadlineMs: 200 })
  const read = {
    commandFlags: 0,
    type: Command.READ,
    cookieHigh: 0,
    cookieLow: 1,
    byteOffset: 0,
    byteLength: 100_000,
  }
  const requests = Buffer.concat(Array.from({ length: 1000 }, () => encodeRequestHeader(read)))
  const raw = fixture.raw(rawHandshake('vda'), requests)
  raw.socket.pause()
  const neighbour = await fixture.client('vdb')
  await expect
    .poll(async () => {
      await neighbour.read(0, 4096)
      return fixture.closedFor
    })
    .toEqual(['replyDeadline'])
  expect(fixture.vda.calls.length).toBeLessThan(200)
  await expect.poll(() => fixture.server.inFlightBytes).toBe(0)
})

test('half a request, or half a handshake, then silence: closed at the deadline, that connection only', async () => {
  await using fixture = await startServerFixture({ requestDeadlineMs: 100, handshakeDeadlineMs: 150 })
  const idle = await fixture.client()
  const header = encodeRequestHeader({
    commandFlags: 0,
    type: 1,
    cookieHigh: 0,
    cookieLow: 1,
    byteOffset: 0,
    byteLength: 900_000,
  })
  const half = fixture.raw(rawHandshake('vda'), header, Buffer.from('1234'))
  const silent = fixture.raw()
  await expect.poll(() => half.closed() && silent.closed()).toBe(true)
  expect(fixture.closedFor.toSorted()).toEqual(['handshakeDeadline', 'requestDeadline'])
  await expect.poll(() => fixture.server.inFlightBytes).toBe(0)
  await idle.write(0, Buffer.from('still here'))
})

test('connections beyond the limit are closed at once and counted; those inside are unharmed', async () => {
  await using fixture = await startServerFixture({ connectionsMax: 8 })
  const client = await fixture.client()
  const crowd = Array.from({ length: 50 }, () => fixture.raw())
  await expect.poll(() => crowd.filter((one) => one.closed()).length).toBe(43)
  expect(fixture.closedFor).toEqual(Array.from({ length: 43 }, () => 'tooManyConnections'))
  await client.write(0, Buffer.from('unharmed'))
})

test('garbage, in the handshake and after it, ends its own connection only', async () => {
  await using fixture = await startServerFixture({ handshakeDeadlineMs: 60_000 })
  const neighbour = await fixture.client()
  const garbage = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  const prefix = fc.constantFrom(
    Buffer.alloc(0),
    Buffer.from([0, 0, 0, 3]),
    Buffer.concat([Buffer.from([0, 0, 0, 3]), Magic.iHaveOpt]),
    rawHandshake('vda'),
    Buffer.concat([rawHandshake('vda'), Buffer.from('25609513', 'hex')]),
  )
  await fc.assert(
    fc.asyncProperty(prefix, garbage, async (prefix, garbage) => {
      const raw = fixture.raw(prefix, garbage)
      raw.socket.end()
      await expect.poll(() => raw.closed(), { interval: 2 }).toBe(true)
    }),
    { numRuns: process.env.BLOCKFERRY_TEST_COUNTS === 'long' ? 3000 : 100 },
  )
  expect(await neighbour.read(0, 1)).toHaveLength(1)
  expect(fixture.server.connections).toBe(1)
  expect(fixture.server.inFlightBytes).toBe(0)
})

test('EXPORT_NAME without structured replies: simple replies, data and errors', async () => {
  await using fixture = await startServerFixture()
  fixture.vda.bytes.write('hello')
  const request = {
    commandFlags: 0,
    type: Command.READ,
    cookieHigh: 1,
    cookieLow: 2,
    byteOffset: 0,
    byteLength: 5,
  }
  const raw = fixture.raw(
    Buffer.from([0, 0, 0, 3]),
    encodeOption(Option.EXPORT_NAME, Buffer.from('vda')),
    encodeRequestHeader(request),
    encodeRequestHeader({ ...request, byteOffset: 1 << 20, cookieLow: 3 }),
    encodeRequestHeader({ ...request, type: Command.DISC }),
  )
  await expect.poll(() => raw.closed()).toBe(true)
  const ok = Buffer.from(`67446698000000000000000100000002${Buffer.from('hello').toString('hex')}`, 'hex')
  const refused = Buffer.from('67446698000000160000000100000003', 'hex')
  const heard = raw.heard().subarray(18 + 10)
  // Refusals overtake reads: replies leave in completion order.
  expect(heard).toEqual(Buffer.concat([refused, ok]))
  expect(fixture.closedFor).toEqual(['clientDisconnected'])
})

test('closing answers what is in flight, refuses what is new with ESHUTDOWN, and keeps its deadline', async () => {
  await using fixture = await startServerFixture({ shutdownDeadlineMs: 300 })
  const [client, stuck] = [await fixture.client('vda'), await fixture.client('vdb')]
  let letGo = (): void => undefined
  fixture.vda.hold = new Promise((resolve) => (letGo = resolve))
  fixture.vdb.hold = new Promise(() => undefined)
  const inFlight = client.write(0, Buffer.from('last'))
  const never = stuck.write(0, Buffer.from('never'))
  await expect.poll(() => fixture.vda.calls.length + fixture.vdb.calls.length).toBe(2)
  const closing = fixture.server.close()
  await expect(client.read(0, 1)).rejects.toMatchObject({ errno: 'ESHUTDOWN' })
  letGo()
  await inFlight
  await expect(never).rejects.toMatchObject({ code: 'NBD_CONNECTION_LOST' })
  await closing
  await expect(connectNbd({ path: fixture.path, exportName: 'vda' })).rejects.toMatchObject({
    code: 'NBD_CONNECT_FAILED',
  })
})

test('a retrying client outlives its server: outstanding requests are issued again', async () => {
  await using fixture = await startServerFixture({ shutdownDeadlineMs: 50 })
  let reconnects = 0
  const retry = {
    path: fixture.path,
    exportName: 'vda',
    deadlineMs: 10_000,
    onReconnect: () => (reconnects += 1),
  }
  const disk = await connectNbdWithRetry(retry)
  fixture.vda.hold = new Promise(() => undefined)
  const writes = Array.from({ length: 10 }, (_, index) => disk.write(index, Buffer.from([index + 1])))
  await expect.poll(() => fixture.vda.calls.length).toBe(10)
  await fixture.server.close()
  fixture.vda.hold = undefined
  await fixture.restart()
  await Promise.all(writes)
  expect(fixture.vda.bytes.subarray(0, 10)).toEqual(Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
  expect(reconnects).toBe(1)
  await disk.disconnect()
})

test('a retrying client gives up at its deadline, with the reason', async () => {
  const options = { path: '/nonexistent/socket', exportName: '', deadlineMs: 50 }
  await expect(connectNbdWithRetry(options)).rejects.toMatchObject({ code: 'NBD_CONNECT_FAILED' })
})

test('serves TCP too, and tells the port it got', async () => {
  await using fixture = await startServerFixture()
  await using server = createNbdServer({ exports: exportsOf(fixture.vda) })
  const address = await server.listen({ host: '127.0.0.1', port: 0 })
  if (!('port' in address)) return expect.unreachable()
  const client = await connectNbd({ ...address, exportName: '' })
  await client.write(7, Buffer.from('tcp'))
  expect(await client.read(7, 3)).toEqual(Buffer.from('tcp'))
  await client.disconnect()
})

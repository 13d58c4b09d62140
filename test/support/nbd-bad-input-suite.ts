import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { connectNbd } from '@blockferry/nbd'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { ServedDisk } from './nbd-plain-server.ts'

export interface BadInputSuiteOptions {
  readonly name: string
  readonly startServer: () => Promise<ServedDisk>
  /** The server's limits, as configured. */
  readonly requestDeadlineMs: number
  readonly connectionsMax: number
}

/** Above an eighth of the server's budget: only one such request at a time is in flight. */
const largeBytes = 8 << 20
/** A request that hangs because others hold the budget hangs for ever; one that is served takes no such time. */
const servedMsMax = 20_000

/** The server's greeting; what comes after it answers the handshake. */
const greetingBytes = 18
const clientFlags = Buffer.from([0, 0, 0, 3])

/** Bad input gets the error the specification gives; never a crash, never a harmed neighbour. */
export function describeNbdBadInput(options: BadInputSuiteOptions): void {
  describe(`${options.name}: bad input`, () => {
    let disk: ServedDisk
    const sockets: Socket[] = []
    const raw = (...messages: readonly Buffer[]) => openRaw(disk.socketPath, { sockets, messages })
    const client = () => connectNbd({ path: disk.socketPath, exportName: disk.exportName })
    const halfWrite = (byteLength: number) => {
      const go = option(7, goData(disk.exportName))
      return raw(clientFlags, go, request({ type: 1, byteLength }), Buffer.alloc(100))
    }

    beforeAll(async () => {
      disk = await options.startServer()
    })
    afterAll(async () => {
      for (const socket of sockets) socket.destroy()
      await disk.stop()
    })

    test('an unknown export is refused, and known ones are still served', async () => {
      const unknown = connectNbd({ path: disk.socketPath, exportName: 'no-such-disk' })
      await expect(unknown).rejects.toMatchObject({ code: 'NBD_EXPORT_REFUSED' })
      await (await client()).disconnect()
    })

    test('beyond the end and too long: EINVAL, ENOSPC, EOVERFLOW, and the connection goes on', async () => {
      const good = await client()
      const end = disk.sizeBytes
      await expect(good.read(end - 1, 2)).rejects.toMatchObject({ errno: 'EINVAL' })
      await expect(good.write(end - 1, Buffer.alloc(2))).rejects.toMatchObject({ errno: 'ENOSPC' })
      await expect(good.trim({ byteOffset: end, byteLength: 1 })).rejects.toMatchObject({ errno: 'EINVAL' })
      const zero = good.writeZeroes({ byteOffset: end, byteLength: 1 })
      await expect(zero).rejects.toMatchObject({ errno: 'ENOSPC' })
      await expect(good.read(0, (32 << 20) + 1)).rejects.toMatchObject({ errno: 'EOVERFLOW' })
      const long = good.write(0, Buffer.alloc((32 << 20) + 1))
      await expect(long).rejects.toMatchObject({ errno: 'EINVAL' })
      expect(await good.read(end - 1, 1)).toHaveLength(1)
      await good.disconnect()
    })

    test('an unknown command and an unknown flag are EINVAL, an unknown option is NBD_REP_ERR_UNSUP', async () => {
      const session = raw(clientFlags, option(4242), option(7, goData(disk.exportName)))
      session.socket.write(Buffer.concat([request({ type: 99 }), request({ type: 0, flags: 0x8000 })]))
      const einval = Buffer.from('6744669800000016', 'hex')
      await expect.poll(() => count(session.heard(), einval)).toBe(2)
      expect(count(session.heard(), Buffer.from('0003e889045565a90000109280000001', 'hex'))).toBe(1)
    })

    test('garbage instead of a handshake, and instead of a request, ends that connection only', async () => {
      const neighbour = await client()
      const junk = Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(20))
      const inHandshake = raw(junk)
      const afterwards = raw(clientFlags, option(7, goData(disk.exportName)), junk)
      await expect.poll(() => inHandshake.closed() && afterwards.closed()).toBe(true)
      await neighbour.write(0, Buffer.from('neighbour'))
      await neighbour.disconnect()
    })

    test('half a request, then silence: closed at the deadline; an idle neighbour is not', async () => {
      const neighbour = await client()
      const half = halfWrite(largeBytes)
      await expect.poll(() => half.closed(), { timeout: options.requestDeadlineMs + 5000 }).toBe(true)
      await expectServed(neighbour)
      expect(await neighbour.read(0, 1)).toHaveLength(1)
      await neighbour.disconnect()
    })

    test('clients that die in mid-WRITE, small and large, take nothing with them', async () => {
      const neighbour = await client()
      for (const byteLength of [...Array.from({ length: 40 }, () => 1 << 20), largeBytes, largeBytes]) {
        const half = halfWrite(byteLength)
        await expect.poll(() => half.heard().length, { interval: 2 }).toBeGreaterThan(greetingBytes)
        half.socket.destroy()
      }
      await expectServed(neighbour)
      await neighbour.disconnect()
    })

    test('500 connections: those beyond the limit are closed, a neighbour is served all the while, room comes back', async () => {
      const neighbour = await client()
      const crowd: RawSession[] = []
      for (let index = 0; index < 500; index += 1) {
        crowd.push(raw())
        if (index % 10 === 0) await neighbour.write(index * 512, Buffer.alloc(512, index % 256))
      }
      const closed = () => crowd.filter((session) => session.closed()).length
      await expect.poll(closed, { timeout: 10_000 }).toBeGreaterThanOrEqual(500 - options.connectionsMax + 1)
      expect((await neighbour.read(100 * 512, 512))[0]).toBe(100)
      for (const session of crowd) session.socket.destroy()
      await neighbour.disconnect()
      await expect
        .poll(
          () =>
            client().then(
              (late) => late.disconnect().then(() => 'served'),
              () => 'refused',
            ),
          { timeout: 10_000 },
        )
        .toBe('served')
    })
  })
}

async function expectServed(client: Awaited<ReturnType<typeof connectNbd>>): Promise<void> {
  let served = false
  const done = client
    .write(0, Buffer.alloc(largeBytes, 5))
    .then(() => client.write(0, Buffer.alloc(1 << 20, 6)))
    .then(() => (served = true))
  await expect.poll(() => served, { timeout: servedMsMax }).toBe(true)
  await done
  expect((await client.read(largeBytes - 1, 1))[0]).toBe(5)
}

interface RawSession {
  readonly socket: Socket
  readonly heard: () => Buffer
  readonly closed: () => boolean
}

function openRaw(
  path: string,
  { sockets, messages }: { readonly sockets: Socket[]; readonly messages: readonly Buffer[] },
): RawSession {
  const socket = connect({ path })
  sockets.push(socket)
  const chunks: Buffer[] = []
  let closed = false
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => (closed = true))
  socket.on('close', () => (closed = true))
  for (const message of messages) socket.write(message)
  return { socket, heard: () => Buffer.concat(chunks), closed: () => closed }
}

function option(type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.from('IHAVEOPT\0\0\0\0\0\0\0\0', 'latin1')
  header.writeUInt32BE(type, 8)
  header.writeUInt32BE(data.length, 12)
  return Buffer.concat([header, data])
}

function goData(exportName: string): Buffer {
  const data = Buffer.alloc(6 + exportName.length)
  data.writeUInt32BE(exportName.length, 0)
  data.write(exportName, 4)
  return data
}

function request(header: { type: number; flags?: number; byteLength?: number }): Buffer {
  const bytes = Buffer.alloc(28)
  bytes.writeUInt32BE(0x25609513, 0)
  bytes.writeUInt16BE(header.flags ?? 0, 4)
  bytes.writeUInt16BE(header.type, 6)
  bytes.writeUInt32BE(header.byteLength ?? 0, 24)
  return bytes
}

function count(haystack: Buffer, needle: Buffer): number {
  let found = 0
  for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + 1)) found += 1
  return found
}

import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { Command } from '../protocol/constants.ts'
import { encodeRequestHeader } from '../protocol/request-codec.ts'
import type { RawClient, ServerFixture } from './server-fixture.ts'
import { rawHandshake, startServerFixture } from './server-fixture.ts'

/** The lane is for requests above an eighth of this; an export alone may hold half of it. */
const inFlightBytesMax = 1 << 20
/** Longer than the lane's threshold. */
const largeBytes = 300_000

function requestOf(type: number, byteLength: number): Buffer {
  return encodeRequestHeader({
    commandFlags: 0,
    type,
    cookieHigh: 0,
    cookieLow: 1,
    byteOffset: 0,
    byteLength,
  })
}

/** A WRITE whose payload stops after four bytes, and the socket that is in the middle of it. */
function halfWrite(fixture: ServerFixture, byteLength: number): RawClient {
  return fixture.raw(rawHandshake('vda'), requestOf(Command.WRITE, byteLength), Buffer.from('1234'))
}

/** Small and large requests of both disks are served: nobody holds what they need. */
async function expectServed(fixture: ServerFixture): Promise<void> {
  for (const disk of ['vda', 'vdb']) {
    const client = await fixture.client(disk)
    await client.write(0, Buffer.alloc(1000, 1))
    await client.write(0, Buffer.alloc(largeBytes, 2))
    expect((await client.read(0, largeBytes))[0]).toBe(2)
    await client.disconnect()
  }
}

test('a client that dies in mid-WRITE gives back what its request held of the budget (N3)', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax })
  for (let count = 0; count < 20; count += 1) {
    const half = halfWrite(fixture, 65_536)
    await expect.poll(() => fixture.server.inFlightBytes, { interval: 2 }).toBe(65_536)
    if (count % 2 === 0) half.socket.end()
    else half.socket.destroy()
    await expect.poll(() => fixture.server.inFlightBytes, { interval: 2 }).toBe(0)
  }
  await expectServed(fixture)
})

test('a client that dies in the middle of a large WRITE gives the lane back (B1, N3)', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax })
  for (const end of ['end', 'destroy'] as const) {
    const half = halfWrite(fixture, largeBytes)
    await expect.poll(() => fixture.server.inFlightBytes).toBe(largeBytes)
    half.socket[end]()
    await expect.poll(() => fixture.server.inFlightBytes).toBe(0)
  }
  await expectServed(fixture)
})

const request = fc.record({
  type: fc.constantFrom(Command.WRITE, Command.WRITE, Command.WRITE, Command.READ, Command.FLUSH),
  byteLength: fc.oneof(fc.integer({ min: 1, max: 8192 }), fc.integer({ min: 8192, max: 500_000 })),
})
const session = fc.record({
  disk: fc.constantFrom('vda', 'vdb'),
  requests: fc.array(request, { minLength: 1, maxLength: 4 }),
  /** How much of all its bytes it sends before it is gone. */
  sentShare: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  ends: fc.constantFrom('end', 'destroy'),
})

test('any mix of whole and aborted requests leaves nothing in flight (N3)', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax })
  let begun = 0
  const runs = process.env.BLOCKFERRY_TEST_COUNTS === 'long' ? 1000 : 60
  await fc.assert(
    fc.asyncProperty(fc.array(session, { minLength: 1, maxLength: 6 }), async (sessions) => {
      for (const { disk, ends, requests, sentShare } of sessions) {
        const bytes = Buffer.concat(
          requests.flatMap(({ byteLength, type }) => [
            requestOf(type, type === Command.FLUSH ? 0 : byteLength),
            Buffer.alloc(type === Command.WRITE ? byteLength : 0, 7),
          ]),
        )
        const { socket } = fixture.raw(rawHandshake(disk))
        socket.resume()
        socket.write(bytes.subarray(0, Math.round(bytes.length * sentShare)), () => {
          if (ends === 'end') socket.end()
          else socket.destroy()
        })
      }
      begun += sessions.length
      await expect.poll(() => fixture.closedFor.length, { interval: 2, timeout: 5000 }).toBe(begun)
      await expect.poll(() => fixture.server.inFlightBytes, { interval: 2 }).toBe(0)
    }),
    { numRuns: runs },
  )
  await expectServed(fixture)
})

test('a payload that trickles in holds the budget no longer than its deadline, whatever else is sent', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax, payloadDeadlineMs: 300 })
  const slow = halfWrite(fixture, largeBytes)
  const trickle = setInterval(() => slow.socket.write(Buffer.from([1])), 10)
  try {
    const neighbour = await fixture.client('vdb')
    await neighbour.write(0, Buffer.alloc(largeBytes, 3))
    expect(fixture.closedFor).toEqual(['payloadDeadline'])
  } finally {
    clearInterval(trickle)
  }
  expect(slow.closed()).toBe(true)
})

test('payloads one after another each have the whole deadline', async () => {
  await using fixture = await startServerFixture({ inFlightBytesMax, payloadDeadlineMs: 400 })
  const { socket } = fixture.raw(rawHandshake('vda'))
  let sent = 0
  let stop = false
  const startedMs = performance.now()
  const sendOn = (): void => {
    if (stop) return
    sent += 1
    socket.write(requestOf(Command.WRITE, 8192))
    socket.write(Buffer.alloc(8191, 1))
    setTimeout(() => socket.write(Buffer.from([1]), sendOn), 20)
  }
  sendOn()
  await expect.poll(() => performance.now() - startedMs, { timeout: 5000 }).toBeGreaterThan(1500)
  stop = true
  expect(sent).toBeGreaterThan(10)
  expect(fixture.closedFor).toEqual([])
})

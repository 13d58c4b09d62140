import { describe, expect, test } from 'vitest'
import type { Generation } from './generation.ts'
import { modelId, recoveryPoint } from './testing/model-source.ts'
import { StreamModel } from './testing/stream-model.ts'
import type { OfferOutcome } from './window.ts'
import { DiskWindow, windowLimitsDefault } from './window.ts'

function generation(number: number, id = modelId(number)): Generation {
  return {
    number,
    id,
    ownerSite: 'site-a',
    reason: 'resync',
    base: { kind: 'full' },
    predecessor: null,
    stamp: { agentId: 'agent', counter: 1 },
  }
}

/** Thirty one-block writes over eight blocks, each with its own number as content; captured one ms apart. */
function model(id?: string, differsFrom = Infinity): StreamModel {
  const stream = new StreamModel({ diskId: 'vda', bytes: Buffer.alloc(64) })
  stream.begin(generation(1, id))
  for (let sequence = 1; sequence <= 30; sequence += 1) {
    const fill = sequence >= differsFrom ? 200 : sequence
    stream.write(((sequence * 3) % 8) * 8, Buffer.alloc(8, fill), 1000 + sequence)
  }
  return stream
}

const stream = model()
const limits = { ...windowLimitsDefault, bytesMax: 100 }

function feed(window: DiskWindow, ...ranges: readonly (readonly [number, number])[]): OfferOutcome[] {
  return ranges.map(([first, last]) =>
    window.offer(stream.group(1, { first, last }), { nowMs: 0, inputOffset: BigInt(first) }),
  )
}

function spans(outcomes: readonly OfferOutcome[]): string[] {
  return outcomes.flatMap(({ closed }) =>
    closed.map((set) => `${set.firstSequence}-${set.lastSequence} ${set.closedBy}`),
  )
}

describe('a window (A1, A2)', () => {
  test('folds contiguous groups into one set, with a joint after each event', () => {
    const window = new DiskWindow('vda')
    expect(feed(window, [1, 4], [5, 5], [6, 9]).every(({ closed }) => closed.length === 0)).toBe(true)
    const set = window.close('shutdown')!
    expect(set).toMatchObject({
      firstSequence: 1,
      lastSequence: 9,
      chainBefore: stream.positionAt(1, 0).chain,
      chainAfter: stream.positionAt(1, 9).chain,
      firstCapturedAtMs: 1001,
      lastCapturedAtMs: 1009,
      rawBytes: 72,
      dataBytes: 64,
      copiedBytes: 72,
      eventCount: 9,
      mark: null,
    })
    expect(set.joints).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 9].map((sequence) => ({
        sequence,
        chain: stream.positionAt(1, sequence).chain,
      })),
    )
    expect(Buffer.concat(set.data)).toEqual(stream.bytesAt(stream.positionAt(1, 9)))
  })

  test('drops what it already has, event by event, and takes the rest of a group (W2)', () => {
    const window = new DiskWindow('vda')
    const outcomes = feed(window, [1, 6], [2, 4], [4, 9], [1, 9], [10, 10])
    expect(outcomes.map(({ droppedEvents }) => droppedEvents)).toEqual([0, 3, 3, 9, 0])
    expect(spans(outcomes)).toEqual([])
    const set = window.close('shutdown')!
    expect(set.joints.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(set.rawBytes).toBe(80)
    expect(set.firstCapturedAtMs).toBe(1001)
    expect(Buffer.concat(set.data)).toEqual(stream.bytesAt(stream.positionAt(1, 10)))
  })

  test('a remainder starts at last + 1 with the chain there, also when the window before has closed', () => {
    const window = new DiskWindow('vda')
    feed(window, [1, 6])
    window.close('time')
    feed(window, [4, 9])
    expect(window.close('shutdown')).toMatchObject({
      firstSequence: 7,
      chainBefore: stream.positionAt(1, 6).chain,
      rawBytes: 24,
      firstCapturedAtMs: 1007,
    })
  })

  test('a hole closes it and opens the next (W1)', () => {
    const window = new DiskWindow('vda')
    expect(spans(feed(window, [1, 4], [6, 9], [10, 12]))).toEqual(['1-4 discontinuity'])
    expect(window.close('shutdown')).toMatchObject({ firstSequence: 6, lastSequence: 12 })
  })

  test('another generation closes it and opens the next (W1)', () => {
    const other = model(modelId(9))
    const window = new DiskWindow('vda')
    feed(window, [1, 4])
    const group = other.group(1, { first: 5, last: 6 })
    expect(spans([window.offer(group, { nowMs: 0, inputOffset: 9n })])).toEqual(['1-4 discontinuity'])
  })

  test.each([
    ['directly after', 7, 9],
    ['reaching over its end', 5, 9],
    ['inside, up to its end', 3, 6],
    ['inside, up to a group’s end', 2, 4],
  ])('another chain (%s) closes it and opens the next: the applier judges (W2)', (_, first, last) => {
    const forked = model(undefined, 2)
    const window = new DiskWindow('vda')
    feed(window, [1, 4], [5, 6])
    const outcome = window.offer(forked.group(1, { first, last }), { nowMs: 0, inputOffset: 9n })
    expect(outcome.droppedEvents).toBe(0)
    expect(spans([outcome])).toEqual(['1-6 discontinuity'])
    expect(window.close('shutdown')).toMatchObject({ firstSequence: first, lastSequence: last })
  })

  test('a re-send closes it and is passed on whole, and the stream goes on from there', () => {
    const window = new DiskWindow('vda')
    feed(window, [1, 6])
    const resend = stream.group(1, { first: 2, last: 4, resend: true })
    expect(spans([window.offer(resend, { nowMs: 0, inputOffset: 7n })])).toEqual(['1-6 discontinuity'])
    expect(spans(feed(window, [5, 8]))).toEqual([])
    expect(window.close('shutdown')).toMatchObject({ firstSequence: 2, lastSequence: 8 })
  })

  test('a mark ends it, and stands in its set', () => {
    const marked = model()
    const cut = marked.append(recoveryPoint({ cutId: modelId(5), capturedAtMs: 2000 }))
    const window = new DiskWindow('vda')
    const outcome = window.offer(marked.group(1, { first: 29, last: 31 }), { nowMs: 0, inputOffset: 0n })
    expect(spans([outcome])).toEqual(['29-31 mark'])
    expect(outcome.closed[0]!.mark).toEqual(cut.event)
    expect(window.isOpen).toBe(false)
  })

  test('closes before the group that would take it past its bytes; a larger group stands alone', () => {
    const window = new DiskWindow('vda', limits)
    expect(spans(feed(window, [1, 10], [11, 15], [16, 16], [17, 17]))).toEqual(['1-10 size'])
    expect(spans(feed(window, [18, 25]))).toEqual(['11-17 size'])
    const alone = new DiskWindow('vda', { ...limits, bytesMax: 8 })
    expect(spans(feed(alone, [1, 4], [5, 5]))).toEqual(['1-4 size'])
  })

  test('closes before the group that would take it past its events', () => {
    const window = new DiskWindow('vda', { ...limits, eventsMax: 3 })
    expect(spans(feed(window, [1, 2], [3, 3], [4, 4]))).toEqual(['1-3 size'])
  })

  test('closes on time, and not before', () => {
    const window = new DiskWindow('vda')
    expect(window.dueAtMs).toBeNull()
    window.offer(stream.group(1, { first: 1, last: 2 }), { nowMs: 100, inputOffset: 0n })
    expect(window.dueAtMs).toBe(120)
    expect(window.closeDue(119)).toBeNull()
    expect(window.closeDue(120)).toMatchObject({ lastSequence: 2, closedBy: 'time' })
    window.offer(stream.group(1, { first: 3, last: 4 }), { nowMs: 130, inputOffset: 0n })
    const late = window.offer(stream.group(1, { first: 5, last: 6 }), { nowMs: 200, inputOffset: 0n })
    expect(spans([late])).toEqual(['3-4 time'])
  })

  test('copies and counts what it holds, and tells from where in the input (A3, K4)', () => {
    const window = new DiskWindow('vda')
    const group = stream.group(1, { first: 1, last: 8 })
    window.offer(group, { nowMs: 0, inputOffset: 41n })
    feed(window, [9, 10])
    group.payload.fill(0xee)
    expect(window.bufferedBytes).toBe(80)
    expect(window.firstInputOffset).toBe(41n)
    expect(Buffer.concat(window.close('budget')!.data)).toEqual(stream.bytesAt(stream.positionAt(1, 10)))
    expect(window.bufferedBytes).toBe(0)
    expect(window.firstInputOffset).toBeNull()
  })

  test.each([
    ['header', { events: stream.group(1, { first: 5, last: 6 }).events.toReversed() }],
    ['chain', { chainAfter: 1 }],
    ['number', { firstSequence: 6 }],
  ])('refuses a group damaged in its %s, takes nothing of it, and stays as it was', (_, damage) => {
    const window = new DiskWindow('vda')
    feed(window, [1, 4])
    const group = { ...stream.group(1, { first: 5, last: 6 }), ...damage }
    expect(window.offer(group, { nowMs: 0, inputOffset: 9n })).toEqual({
      closed: [],
      droppedEvents: 0,
      refused: 'CHAIN_BROKEN',
    })
    expect(spans(feed(window, [5, 6]))).toEqual([])
    expect(window.close('shutdown')).toMatchObject({ firstSequence: 1, lastSequence: 6 })
  })
})

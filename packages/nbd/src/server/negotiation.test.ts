import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { Info, Option, OptionReply } from '../protocol/constants.ts'
import { encodeInfoRequest, encodeMetaContextRequest, encodeOption } from '../protocol/option-codec.ts'
import { defaultNbdServerLimits } from './limits.ts'
import { exportsOf, MemoryExport } from './memory-export.ts'
import type { NegotiationOutcome } from './negotiation.ts'
import { Negotiation } from './negotiation.ts'

const clientFlags = Buffer.from([0, 0, 0, 3])
const disks = [new MemoryExport('vda', 1 << 20), new MemoryExport('vdb', 2 << 20, { readOnly: true })]

function negotiate(options: { flags?: Buffer; shuttingDown?: boolean; only?: number } = {}) {
  const replies: Buffer[] = []
  const negotiation = new Negotiation({
    exports: exportsOf(...disks.slice(0, options.only)),
    limits: defaultNbdServerLimits,
    reply: (bytes) => replies.push(bytes),
    shuttingDown: () => options.shuttingDown === true,
  })
  let outcome = negotiation.push(options.flags ?? clientFlags)
  const send = (option: number, data?: Buffer): number[] => {
    replies.length = 0
    outcome = negotiation.push(encodeOption(option, data))
    return option === Option.EXPORT_NAME ? [] : replies.map((reply) => reply.readUInt32BE(12))
  }
  const push = (bytes: Buffer): NegotiationOutcome => negotiation.push(bytes)
  return { send, push, replies, outcome: () => outcome }
}

const go = (name: string, infoTypes: number[] = []) => encodeInfoRequest({ name, infoTypes })
const contexts = (name: string, queries: string[]) => encodeMetaContextRequest({ name, queries })

test('INFO tells and stays, GO tells and enters', () => {
  const session = negotiate()
  const wanted = [Info.BLOCK_SIZE, Info.NAME, Info.DESCRIPTION, 77]
  const told = [OptionReply.INFO, OptionReply.INFO, OptionReply.INFO, OptionReply.INFO, OptionReply.ACK]
  expect(session.send(Option.INFO, go('vdb', wanted))).toEqual(told)
  expect(session.outcome().kind).toBe('haggling')
  expect(session.send(Option.GO, go('vdb', wanted))).toEqual(told)
  expect(session.outcome()).toMatchObject({ kind: 'transmission', negotiated: { disk: disks[1] } })
})

test('bytes after GO belong to the transmission phase', () => {
  const outcome = negotiate().push(Buffer.concat([encodeOption(Option.GO, go('vda')), Buffer.from('rest')]))
  expect(outcome).toMatchObject({ kind: 'transmission', rest: Buffer.from('rest') })
})

test('EXPORT_NAME pads its answer unless NO_ZEROES was agreed; an unknown name ends the session', () => {
  for (const [flag, bytes] of [
    [1, 134],
    [3, 10],
  ] as const) {
    const session = negotiate({ flags: Buffer.from([0, 0, 0, flag]) })
    session.send(Option.EXPORT_NAME, Buffer.from('vda'))
    expect(session.replies[0]).toHaveLength(bytes)
    expect(session.outcome().kind).toBe('transmission')
  }
  const session = negotiate()
  session.send(Option.EXPORT_NAME, Buffer.from('vdx'))
  expect(session.outcome()).toEqual({ kind: 'close', reason: 'unknownExport' })
})

test('the empty name is the only export, and nothing when there are two', () => {
  expect(negotiate({ only: 1 }).send(Option.GO, go(''))).toEqual([OptionReply.INFO, OptionReply.ACK])
  expect(negotiate().send(Option.GO, go(''))).toEqual([OptionReply.ERR_UNKNOWN])
})

test('base:allocation needs structured replies, this export, and the last word', () => {
  const selected = (...steps: [number, Buffer?][]): unknown => {
    const session = negotiate()
    for (const [option, data] of steps) session.send(option, data)
    session.send(Option.GO, go('vda'))
    const outcome = session.outcome()
    return outcome.kind === 'transmission' && outcome.negotiated.allocationContext
  }
  const structured: [number] = [Option.STRUCTURED_REPLY]
  const set = (name: string, queries = ['base:allocation']): [number, Buffer] => [
    Option.SET_META_CONTEXT,
    contexts(name, queries),
  ]
  expect(selected(structured, set('vda'))).toBe(true)
  expect(selected(set('vda'))).toBe(false)
  expect(selected(structured, set('vdb'))).toBe(false)
  expect(selected(structured, set('vda'), set('vda', []))).toBe(false)
  expect(selected(structured, set('vda'), set('nowhere'))).toBe(false)
  expect(selected(structured, set('vda', ['base:']))).toBe(false)
  expect(selected(structured, set('vda', ['qemu:dirty-bitmap:x']))).toBe(false)
})

test('LIST_META_CONTEXT lists the context for no query, the wildcard and its name, and ignores strangers', () => {
  const session = negotiate()
  session.send(Option.STRUCTURED_REPLY)
  const list = (queries: string[]) => session.send(Option.LIST_META_CONTEXT, contexts('vda', queries))
  for (const queries of [[], ['base:'], ['x-other:a', 'base:allocation']]) {
    expect(list(queries)).toEqual([OptionReply.META_CONTEXT, OptionReply.ACK])
  }
  expect(list(['x-other:a'])).toEqual([OptionReply.ACK])
})

test('each bad option gets its own error, and the session goes on', () => {
  const session = negotiate()
  const junk = Buffer.from('junk')
  expect(session.send(Option.LIST, junk)).toEqual([OptionReply.ERR_INVALID])
  expect(session.send(Option.STRUCTURED_REPLY, junk)).toEqual([OptionReply.ERR_INVALID])
  expect(session.send(Option.GO, junk)).toEqual([OptionReply.ERR_INVALID])
  expect(session.send(Option.GO, go('x'.repeat(4097)))).toEqual([OptionReply.ERR_INVALID])
  expect(session.send(Option.SET_META_CONTEXT, junk)).toEqual([OptionReply.ERR_INVALID])
  expect(session.send(Option.STARTTLS)).toEqual([OptionReply.ERR_UNSUP])
  expect(session.send(4242)).toEqual([OptionReply.ERR_UNSUP])
  expect(session.send(Option.LIST, Buffer.alloc(100_000))).toEqual([OptionReply.ERR_TOO_BIG])
  expect(session.send(Option.LIST)).toEqual([OptionReply.SERVER, OptionReply.SERVER, OptionReply.ACK])
  expect(session.send(Option.ABORT, junk)).toEqual([OptionReply.ACK])
  expect(session.outcome()).toEqual({ kind: 'close', reason: 'aborted' })
})

test('unknown client flags, a wrong magic and absurd lengths end the session', () => {
  expect(negotiate({ flags: Buffer.from([0, 0, 0, 4]) }).outcome().kind).toBe('close')
  expect(negotiate().push(Buffer.from('GET'))).toEqual({ kind: 'close', reason: 'handshakeGarbage' })
  const absurd = encodeOption(Option.LIST)
  absurd.writeUInt32BE(0xffffffff, 12)
  expect(negotiate().push(absurd)).toEqual({ kind: 'close', reason: 'optionTooLong' })
})

test('in a shutdown every option but ABORT gets ERR_SHUTDOWN', () => {
  const session = negotiate({ shuttingDown: true })
  expect(session.send(Option.GO, go('vda'))).toEqual([OptionReply.ERR_SHUTDOWN])
  expect(session.send(Option.ABORT)).toEqual([OptionReply.ACK])
})

test('no bytes make it throw, and every cut of a valid handshake leads to the same end', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(1, 2, 3, 5, 6, 7, 8, 9, 10, 11),
      (junk, option) => {
        negotiate().push(Buffer.from(junk))
        negotiate().send(option, Buffer.from(junk))
      },
    ),
  )
  const whole = Buffer.concat([
    encodeOption(Option.STRUCTURED_REPLY),
    encodeOption(Option.SET_META_CONTEXT, contexts('vda', ['base:allocation'])),
    encodeOption(Option.GO, go('vda', [3])),
  ])
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), (chunkBytes) => {
      const session = negotiate()
      let outcome: NegotiationOutcome | undefined
      for (let at = 0; at < whole.length; at += chunkBytes) {
        outcome = session.push(Buffer.from(whole.subarray(at, at + chunkBytes)))
      }
      expect(outcome).toMatchObject({ kind: 'transmission', negotiated: { allocationContext: true } })
    }),
  )
})

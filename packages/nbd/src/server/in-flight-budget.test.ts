import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import type { BudgetAccount, BudgetGrant } from './in-flight-budget.ts'
import { InFlightBudget } from './in-flight-budget.ts'

interface Held {
  account: BudgetAccount
  byteLength: number
  grant: BudgetGrant
}

test('never holds more than its bytes plus the lane, and admits every waiter in the end (B1, B3)', () => {
  const step = fc.record({
    account: fc.nat(3),
    byteLength: fc.integer({ min: 1, max: 1000 }),
    releases: fc.nat(3),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const budget = new InFlightBudget(1000)
      const accounts = Array.from({ length: 4 }, () => ({ usedBytes: 0 }))
      const held: Held[] = []
      let asked = 0
      let admitted = 0
      const check = (): void => {
        const shares = held.filter((one) => one.grant === 'share')
        expect(budget.usedBytes).toBe(shares.reduce((sum, one) => sum + one.byteLength, 0))
        expect(budget.usedBytes).toBeLessThanOrEqual(1000)
        expect(held.length - shares.length).toBeLessThanOrEqual(1)
        expect(budget.laneBytes).toBe(held.find((one) => one.grant === 'lane')?.byteLength ?? 0)
      }
      const keep = (account: BudgetAccount, byteLength: number, grant: BudgetGrant): void => {
        admitted += 1
        held.push({ account, byteLength, grant })
      }
      const releaseOldest = (): void => {
        const one = held.shift()
        if (one !== undefined) budget.release(one.account, one.byteLength, one.grant)
        check()
      }
      for (const { account: index, byteLength, releases } of steps) {
        const account = accounts[index] as BudgetAccount
        asked += 1
        const grant = budget.tryAdmit(account, byteLength)
        if (grant !== undefined) keep(account, byteLength, grant)
        else budget.wait({ account, byteLength, admitted: (late) => keep(account, byteLength, late) })
        check()
        for (let count = 0; count < releases; count += 1) releaseOldest()
      }
      while (held.length > 0) releaseOldest()
      expect(admitted).toBe(asked)
      expect(budget.waiting).toBe(0)
      expect(budget.usedBytes).toBe(0)
    }),
  )
})

test('a disk that hangs with all it can get leaves half to its neighbours, two leave a third (B2)', () => {
  const budget = new InFlightBudget(90_000)
  const hang = (): number => {
    const account = { usedBytes: 0 }
    while (budget.tryAdmit(account, 1000) === 'share') continue
    return account.usedBytes
  }
  expect(hang()).toBe(45_000)
  expect(hang()).toBe(22_000)
  const neighbour = { usedBytes: 0 }
  expect(budget.tryAdmit(neighbour, 10_000)).toBe('share')
})

test('of two waiters the export that holds least goes first', () => {
  const budget = new InFlightBudget(8000)
  const busy = { usedBytes: 0 }
  const idle = { usedBytes: 0 }
  const order: string[] = []
  while (budget.tryAdmit(busy, 1000) === 'share') continue
  const filler = { usedBytes: 0 }
  for (let count = 0; count < 4; count += 1) budget.tryAdmit(filler, 1000)
  expect(budget.tryAdmit({ usedBytes: 0 }, 8000)).toBe('lane')
  const rest = budget.bytesMax - budget.usedBytes
  for (let at = 0; at < rest; at += 500) budget.tryAdmit({ usedBytes: 0 }, 500)
  budget.wait({ account: busy, byteLength: 1000, admitted: () => order.push('busy') })
  budget.wait({ account: idle, byteLength: 1000, admitted: () => order.push('idle') })
  budget.release(filler, 1000, 'share')
  expect(order).toEqual(['idle'])
})

test('a waiter that went away is not admitted', () => {
  const budget = new InFlightBudget(8)
  const account = { usedBytes: 0 }
  expect(budget.tryAdmit(account, 8)).toBe('lane')
  const waiter = { account, byteLength: 8, admitted: () => expect.unreachable() }
  budget.wait(waiter)
  budget.forget(waiter)
  budget.release(account, 8, 'lane')
  expect(budget.waiting).toBe(0)
})

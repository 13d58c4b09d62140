import { describe, expect, test, vi } from 'vitest'
import { assertedThroughout, type StateLook } from './asserted-states.ts'

const expected = { tap: 'STREAMING', applier: 'CONSISTENT' }

/** Looks in turn, the last one for ever; counts them, so that work can last until a look was taken. */
function looks(...taken: readonly (StateLook | Error)[]) {
  let count = 0
  const look = async (): Promise<StateLook> => {
    const found = taken[Math.min(count, taken.length - 1)]
    count += 1
    if (found === undefined || found instanceof Error) throw found
    return found
  }
  const until = async (wanted: number) => {
    await vi.waitUntil(() => count >= wanted, { interval: 1, timeout: 10_000 })
  }
  return { look, until }
}

const good = { ...expected, generation: 1 }

describe('a state that is asserted throughout', () => {
  test('lets the work’s value through when every look was good, the ones before and after included', async () => {
    const { look, until } = looks(good)
    const value = await assertedThroughout({ look, expected, everyMs: 1 }, async () => {
      await until(5)
      return 'value'
    })
    expect(value).toBe('value')
  })

  test.each([
    ['at the start', looks({ ...good, tap: 'AHEAD' }, good), 0],
    ['for one look in the middle', looks(good, good, { ...good, tap: 'AHEAD' }, good), 3],
    ['after the work', looks(good, { ...good, applier: 'HALTED' }), 0],
    ['that is missing', looks(good, { tap: 'STREAMING', generation: 1 }), 0],
    ['that changes although it is not said what it should be', looks(good, { ...good, generation: 2 }), 0],
    ['that cannot be read', looks(good, good, new Error('ECONNREFUSED'), good), 3],
  ])('fails the run for another state %s', async (_, { look, until }, lastsLooks) => {
    const run = assertedThroughout({ look, expected, everyMs: 1 }, () => until(lastsLooks))
    await expect(run).rejects.toThrow(/not .*throughout|could not be read/)
  })

  test('says what was found', async () => {
    const { look } = looks(good, { ...good, tap: 'AHEAD' })
    const run = assertedThroughout({ look, expected, everyMs: 1 }, async () => {})
    await expect(run).rejects.toThrow('"tap":"AHEAD"')
  })

  test('stops looking, and passes on the work’s own failure', async () => {
    const { look } = looks(good)
    const run = assertedThroughout({ look, expected, everyMs: 1 }, () =>
      Promise.reject(new Error('fio failed')),
    )
    await expect(run).rejects.toThrow('fio failed')
  })
})

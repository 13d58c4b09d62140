import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@blockferry/runtime/service'
import { afterEach, expect, test } from 'vitest'
import { ChildRecords, identify, isStill, stopStaleChildren } from './child-records.ts'

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

function temporaryFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'blockferry-records-'))
  cleanups.push(() => rmSync(directory, { recursive: true }))
  return join(directory, 'pids.json')
}

function startSleeper(): number {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  cleanups.push(() => child.kill('SIGKILL'))
  return child.pid ?? -1
}

test('ends what a killed start left behind, and names it', async () => {
  const path = temporaryFile()
  const pid = startSleeper()
  new ChildRecords(path).add('kafka-a', pid)
  expect(await stopStaleChildren(path, systemClock)).toEqual(['kafka-a'])
  expect(identify(pid)).toBeNull()
})

test('never touches a process that merely has a recorded pid (P1)', async () => {
  const path = temporaryFile()
  const pid = startSleeper()
  new ChildRecords(path).add('kafka-a', pid)
  const records = JSON.parse(readFileSync(path, 'utf8')) as Record<string, object>
  for (const change of [{ startTicks: '1' }, { commandLine: 'java kafka.Kafka' }]) {
    writeFileSync(path, JSON.stringify({ 'kafka-a': { ...records['kafka-a'], ...change } }))
    expect(await stopStaleChildren(path, systemClock)).toEqual([])
  }
  const identity = identify(pid)
  expect(identity !== null && isStill(identity)).toBe(true)
})

test('has nothing to end without records', async () => {
  expect(await stopStaleChildren(temporaryFile(), systemClock)).toEqual([])
  const path = temporaryFile()
  writeFileSync(path, 'not json')
  expect(await stopStaleChildren(path, systemClock)).toEqual([])
})

test('forgets a child that has exited', () => {
  const path = temporaryFile()
  const records = new ChildRecords(path)
  records.add('wan', startSleeper())
  records.remove('wan')
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({})
})

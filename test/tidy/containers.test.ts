import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { repositoryRoot } from './source-files.ts'

const read = (path: string): string => readFileSync(join(repositoryRoot, path), 'utf8')
const compose = read('deploy/compose/compose.yaml')
const dockerfile = read('deploy/docker/Dockerfile')

describe('the images and the compose file', () => {
  test('every knob of compose.yaml is in .env, and every line of .env is a knob', () => {
    const used = new Set([...compose.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name ?? ''))
    const given = [...read('deploy/compose/.env').matchAll(/^(\w+)=/gm)].map(([, name]) => name ?? '')
    const own = given.filter((name) => name !== 'COMPOSE_PROJECT_NAME')
    expect(new Set(own)).toEqual(used)
    expect(own).toHaveLength(used.size)
  })

  test('both brokers get every setting of deploy/kafka/broker.properties that does not differ by place', () => {
    const settings = [...read('deploy/kafka/broker.properties').matchAll(/^([a-z.]+)=(.*)$/gm)]
    const common = settings.filter(([, name, value]) => !value?.includes('{{') && !placed.test(name ?? ''))
    expect(common.length).toBeGreaterThan(15)
    const inCompose = new Map(
      [...compose.matchAll(/^ {2}(KAFKA_\w+): '?(.*?)'?$/gm)].map(([, n, v]) => [n, v]),
    )
    const missing = common.filter(([, name, value]) => inCompose.get(environmentNameOf(name ?? '')) !== value)
    expect(missing.map(([line]) => line)).toEqual([])
  })

  test('the Dockerfile copies the manifest of every workspace that an image can need', () => {
    const manifests = globSync('{schemas,cli,packages/*,services/*}/package.json', { cwd: repositoryRoot })
    expect(manifests.length).toBeGreaterThan(10)
    const missing = manifests.filter((path) => !dockerfile.includes(`COPY ${path} `))
    expect(missing).toEqual([])
  })

  test('the Dockerfile uses nothing that the classic builder lacks', () => {
    expect(dockerfile).not.toMatch(/^# *syntax=|--mount|--chmod|--link|<<|BUILDPLATFORM|TARGETARCH/m)
  })

  test('every image runs as node, stops on SIGTERM and starts Node itself', () => {
    const images = dockerfile.split(/^FROM base AS /m).filter((stage) => stage.includes('\nENTRYPOINT'))
    expect(images).toHaveLength(6)
    for (const image of images) {
      expect(image).toContain('\nUSER node\nSTOPSIGNAL SIGTERM\n')
      expect(image).toMatch(/\nENTRYPOINT \["node", "\S+\/main\.ts"\]\n/)
    }
  })
})

/** Listeners and roles are the place's own; the rest is the same everywhere. */
const placed = /listener|log\.dirs|^process\.roles|^node\.id|quorum/

function environmentNameOf(property: string): string {
  return `KAFKA_${property.replaceAll('.', '_').toUpperCase()}`
}

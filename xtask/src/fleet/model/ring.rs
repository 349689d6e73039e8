//! The hash ring of HAProxy 2.6: `balance uri`, `hash-type consistent sdbm avalanche`, and `hash-balance-factor`.
//!
//! A server has 16 points on the ring for each unit of its weight. The place of a point is a hash of the server's `id`
//! and the number of the point. A request goes to the server of the nearest point, in either direction. With bounded
//! loads, points of servers that have too many requests under way are passed over, in the direction of rising keys.

/// Points on the ring for each unit of a weight.
const POINTS_PER_WEIGHT: u32 = 16;
/// Ids are this far apart in what is hashed: points of the largest weight, 256.
const POINTS_MAX: u32 = 256 * POINTS_PER_WEIGHT;
/// The weight of each node in `deploy/haproxy/haproxy.cfg`.
pub(super) const WEIGHT: u32 = 128;
/// Nodes on a ring. A node is named by its index: node 0 has `id 1`.
#[derive(Debug, Clone)]
pub(super) struct Ring {
    /// Places with their nodes, in the order of places.
    points: Vec<(u32, u32)>,
    /// For each node its rank among those that are up, or none.
    ranks: Vec<Option<u32>>,
    up: u32,
    /// Points of each node.
    points_of_node: u32,
}

/// The requests under way at each node.
#[derive(Debug, Clone)]
pub(super) struct Loads {
    served: Vec<u32>,
    total: u32,
    /// In percent of the mean; 0 is no limit.
    factor: u32,
}

impl Ring {
    pub(super) fn new(nodes: usize) -> Self {
        Self::without(nodes, &[])
    }

    /// The same where the nodes `down` are taken out.
    pub(super) fn without(nodes: usize, down: &[usize]) -> Self {
        Self::weighted(nodes, down, WEIGHT)
    }

    /// The same where each node has this weight.
    pub(super) fn weighted(nodes: usize, down: &[usize], weight: u32) -> Self {
        let points_of_node = weight * POINTS_PER_WEIGHT;
        let mut points = Vec::new();
        let mut ranks = Vec::with_capacity(nodes);
        let mut up = 0;
        for (id, node) in (1..).zip(0..nodes) {
            if down.contains(&node) {
                ranks.push(None);
                continue;
            }
            ranks.push(Some(up));
            up += 1;
            points.extend((0..points_of_node).map(|number| (point(id, number), id - 1)));
        }
        // Stable: of two points at one place, the first is that of the first node.
        points.sort_by_key(|(place, _)| *place);
        Self {
            points,
            ranks,
            up,
            points_of_node,
        }
    }

    /// The number of nodes, those that are down included.
    pub(super) fn nodes(&self) -> usize {
        self.ranks.len()
    }

    /// The nodes that are up.
    pub(super) fn nodes_up(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.nodes()).filter(|node| self.ranks[*node].is_some())
    }

    /// The node of a key, whatever its load.
    pub(super) fn node(&self, key: u32) -> usize {
        self.points[self.nearest(key)].1 as usize
    }

    /// The node that gets a request of a key where `refused` has refused it: from the nearest point on, the first point
    /// in the direction of rising keys that is of another node.
    pub(super) fn node_but(&self, key: u32, refused: usize) -> usize {
        let start = self.nearest(key);
        let points = self.points[start..].iter().chain(&self.points[..start]);
        let mut nodes = points.map(|(_, node)| *node as usize);
        nodes.find(|node| *node != refused).unwrap_or(refused)
    }

    /// The node that gets a request, with bounded loads.
    pub(super) fn node_with_room(&self, key: u32, loads: &Loads) -> usize {
        let start = self.nearest(key);
        let mut node = self.points[start].1 as usize;
        let mut index = start;
        let mut laps = 0;
        while loads.factor > 0 && !self.has_room(node, loads) {
            index += 1;
            if index == self.points.len() {
                index = 0;
                laps += 1;
                if laps > 1 {
                    break;
                }
            }
            node = self.points[index].1 as usize;
        }
        node
    }

    fn nearest(&self, key: u32) -> usize {
        let count = self.points.len();
        let next = self.points.partition_point(|(place, _)| *place < key) % count;
        let previous = (next + count - 1) % count;
        let behind = key.wrapping_sub(self.points[previous].0);
        let ahead = self.points[next].0.wrapping_sub(key);
        if behind <= ahead { previous } else { next }
    }

    /// Whether a node may take one more request. HAProxy counts in 32 bits, and so does this: where the product of all
    /// points and all places exceeds them, a few nodes have no limit.
    fn has_room(&self, node: usize, loads: &Loads) -> bool {
        let Some(rank) = self.ranks[node] else {
            return false;
        };
        let own = self.points_of_node;
        let all_points = own * self.up;
        let places = (loads.total + 1)
            .wrapping_mul(loads.factor)
            .wrapping_add(99)
            / 100;
        let for_each_point = places / all_points;
        let rest = places % all_points;
        let up_to = |rank: u32| (rank * own).wrapping_mul(rest) / all_points;
        let of_the_rest = up_to(rank + 1).wrapping_sub(up_to(rank));
        let places = own.wrapping_mul(for_each_point).wrapping_add(of_the_rest);
        loads.served[node] < places.max(1)
    }
}

impl Loads {
    pub(super) fn new(nodes: usize, factor: u32) -> Self {
        Self {
            served: vec![0; nodes],
            total: 0,
            factor,
        }
    }

    pub(super) fn begin(&mut self, node: usize) {
        self.served[node] += 1;
        self.total += 1;
    }

    pub(super) fn end(&mut self, node: usize) {
        self.served[node] -= 1;
        self.total -= 1;
    }

    pub(super) fn served(&self) -> &[u32] {
        &self.served
    }
}

/// The place on the ring of a request target: its path, without the query.
pub(super) fn key(target: &str) -> u32 {
    let path = target.split('?').next().unwrap_or_default();
    avalanche(path.bytes().fold(0, sdbm))
}

/// The place of a point.
fn point(id: u32, number: u32) -> u32 {
    avalanche(id.wrapping_mul(POINTS_MAX).wrapping_add(number))
}

/// One step of the hash of sdbm, a library of databases: 65,599 times the hash so far, and the byte.
fn sdbm(hash: u32, byte: u8) -> u32 {
    hash.wrapping_mul(65_599).wrapping_add(u32::from(byte))
}

/// Bob Jenkins' integer hash of six shifts (burtleburtle.net/bob/hash/integer.html), then times a prime near three
/// quarters of the ring, as HAProxy has it.
fn avalanche(value: u32) -> u32 {
    let a = value.wrapping_add(0x7ed5_5d16).wrapping_add(value << 12);
    let b = a ^ 0xc761_c23c ^ (a >> 19);
    let c = b.wrapping_add(0x1656_67b1).wrapping_add(b << 5);
    let d = c.wrapping_add(0xd3a2_646c) ^ (c << 9);
    let e = d.wrapping_add(0xfd70_46c5).wrapping_add(d << 3);
    let f = e ^ 0xb55a_4f09 ^ (e >> 16);
    f.wrapping_mul(3_221_225_473)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<u32> {
        (0..5_000).map(|n| key(&format!("/f/{n}"))).collect()
    }

    #[test]
    fn a_query_does_not_change_the_key() {
        assert_eq!(key("/a/b?c=d"), key("/a/b"));
        assert_ne!(key("/a/b"), key("/a/c"));
    }

    #[test]
    fn a_key_has_the_node_of_the_nearest_point_in_either_direction() {
        let ring = Ring::new(3);
        let distance = |a: u32, b: u32| a.wrapping_sub(b).min(b.wrapping_sub(a));
        for key in keys() {
            let nearest = ring
                .points
                .iter()
                .min_by_key(|(place, _)| distance(*place, key));
            let nearest = nearest.expect("a point").0;
            let found = ring.points[ring.nearest(key)].0;
            assert_eq!(distance(found, key), distance(nearest, key), "{key}");
        }
    }

    #[test]
    fn only_keys_of_a_lost_node_move() {
        let (all, fewer) = (Ring::new(6), Ring::without(6, &[2]));
        for key in keys() {
            assert_ne!(fewer.node(key), 2);
            if all.node(key) != 2 {
                assert_eq!(fewer.node(key), all.node(key));
            }
        }
    }

    #[test]
    fn a_refused_request_goes_to_the_next_node_and_later_to_the_nearest() {
        let (all, fewer) = (Ring::new(6), Ring::without(6, &[2]));
        let (mut refused, mut differ) = (0, 0);
        for key in keys() {
            let next = all.node_but(key, 2);
            assert_ne!(next, 2);
            if all.node(key) == 2 {
                refused += 1;
                differ += usize::from(next != fewer.node(key));
            } else {
                assert_eq!(next, all.node(key));
            }
        }
        // The nearest may lie in the other direction.
        assert!(differ * 4 > refused && differ * 4 < refused * 3, "{differ}");
        assert_eq!(Ring::new(1).node_but(7, 0), 0);
    }

    #[test]
    fn one_key_fills_all_nodes_to_their_limit_with_bounded_loads() {
        let ring = Ring::new(4);
        let mut loads = Loads::new(4, 150);
        for _ in 0..400 {
            let node = ring.node_with_room(7, &loads);
            loads.begin(node);
        }
        let most = loads.served().iter().max().expect("a node");
        assert!((149..=151).contains(most), "{loads:?}");
        let mut unlimited = Loads::new(4, 0);
        unlimited.served.fill(1_000);
        assert_eq!(ring.node_with_room(7, &unlimited), ring.node(7));
    }

    #[test]
    fn in_32_bits_some_of_a_thousand_nodes_have_no_limit() {
        let ring = Ring::new(1_000);
        let mut loads = Loads::new(1_000, 150);
        loads.served.fill(u32::MAX - 1_000_000);
        loads.total = 100_000;
        let unlimited = (0..1_000).filter(|node| ring.has_room(*node, &loads));
        // 2,048,000 points times 150,000 places are 71.5 times 2³².
        assert!((70..=72).contains(&unlimited.count()));
    }

    #[test]
    fn with_65_535_points_in_all_each_node_has_its_limit() {
        let ring = Ring::weighted(1_000, &[], 4);
        let mut loads = Loads::new(1_000, 150);
        for total in (0..300_000).step_by(997) {
            loads.total = total;
            // One more than 1.5 times the mean, rounded up.
            loads.served.fill((total + 1) * 150 / 100_000 + 2);
            let unlimited = (0..1_000).find(|node| ring.has_room(*node, &loads));
            assert_eq!(unlimited, None, "{total}");
        }
    }

    #[test]
    fn a_thousand_nodes_exceed_their_limit_as_with_a_real_haproxy() {
        let ring = Ring::new(1_000);
        let mut loads = Loads::new(1_000, 150);
        for _ in 0..3_000 {
            let node = ring.node_with_room(key("/hot"), &loads);
            loads.begin(node);
        }
        // Of HAProxy 2.6.12, which held all 3,000 requests.
        assert_eq!(loads.served()[468], 12);
        assert_eq!(loads.served().iter().max(), Some(&12));
        assert_eq!(
            loads.served().iter().filter(|count| **count > 0).count(),
            668
        );
    }
}

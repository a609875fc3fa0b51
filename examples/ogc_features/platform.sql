-- The table behind the collection of the map server, in PostGIS.
CREATE TABLE patrol_areas (
    fid         serial PRIMARY KEY,
    external_id text UNIQUE,
    name        text NOT NULL,
    fee         numeric(12,2),
    geom        geometry(Polygon, 4326)
);

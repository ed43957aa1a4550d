-- Imagine Math: year-to-date usage and results of all students, one row per student.
WITH students AS (STUDENTS), used AS (USED), tests AS (TESTS), rooms AS (ROOMS), results AS (
    SELECT r.account_id, string_agg(r.pathway, ', ' ORDER BY r.pathway) AS pathways, count(*) AS assigned,
           count(w.completed_on) AS completed, sum(r.lessons_assigned) AS lessons_assigned,
           sum(r.lessons_passed) AS lessons_passed, round(avg(r.average_score), 2) AS average_score
    FROM PRODUCT.progress r
    LEFT JOIN PRODUCT.pathways w
           ON w.school_year = r.school_year AND w.account_id = r.account_id AND w.pathway = r.pathway
    WHERE r.school_year = %(school_year)s GROUP BY r.account_id
)
SELECT t.school                         AS "School",
       t.account_id                     AS "Account",
       t.family_name                    AS "Last name",
       t.given_name                     AS "First name",
       t.grade                          AS "Grade",
       t.band                           AS "Grade band",
       m.classrooms                     AS "Classrooms",
       u.first_week                     AS "First week",
       u.last_week                      AS "Last week",
       u.weeks                          AS "Weeks active",
       u.minutes                        AS "Minutes",
       u.problems                       AS "Problems",
       r.pathways                       AS "Pathways",
       r.assigned                       AS "Pathways assigned",
       r.completed                      AS "Pathways completed",
       r.lessons_assigned               AS "Lessons assigned",
       r.lessons_passed                 AS "Lessons passed",
       r.average_score                  AS "Average score",
       e.taken                          AS "Tests taken",
       e.first_on                       AS "First test",
       e.first_score                    AS "First score",
       e.last_on                        AS "Last test",
       e.last_score                     AS "Last score",
       e.last_score - e.first_score     AS "Growth",
       k.points                         AS "THINK Points"
FROM students t
LEFT JOIN rooms m ON m.account_id = t.account_id
LEFT JOIN used u ON u.account_id = t.account_id
LEFT JOIN results r ON r.account_id = t.account_id
LEFT JOIN tests e ON e.account_id = t.account_id
LEFT JOIN PRODUCT.think_points k ON k.account_id = t.account_id AND %(is_current)s
ORDER BY t.school, t.school_id, t.family_name, t.given_name, t.account_id
